"""The answer of a sweep: what is recommended, how surely, and in which words."""

from dataclasses import replace

import numpy as np
import pytest
from records_factory import make_study
from surface_factory import OBJECTIVES, SPACE, make_run, truth

from mtray.analysis.decision import MARGIN, choose, scales, worth
from mtray.report.answer import Settling, answer, next_repeat
from mtray.report.answer_text import (
    answer_head,
    answer_lines,
    chance_text,
    expected_sheet,
    number_text,
)
from mtray.report.groups import no_draws
from mtray.report.modelled_front import modelled_front
from mtray.report.posterior import JointPosterior, joint_posterior, posterior_of
from mtray.schema import Limit, Recipe


@pytest.fixture(scope="module")
def found() -> JointPosterior:
    run = make_run(14, noise=0.002, seed=3)
    return joint_posterior(run.evidence(), OBJECTIVES, SPACE)


def true_worth(found: JointPosterior, index: int) -> float:
    recipe = found.recipe(index)
    gap = np.subtract(truth(recipe), (0.6, 1.0)) if index else np.zeros(2)
    return float(worth(gap, found.scale))


def test_the_recommended_recipe_is_next_to_the_best(found):
    """Next to no noise: it is worth at most twice the margin less than the best one trained."""
    worths = [true_worth(found, i) for i in range(len(found.numbers))]
    assert true_worth(found, found.choice.best) > max(worths) - 2 * MARGIN


def test_the_answer_is_of_that_recipe(found):
    told = answer(found)
    assert told.number == found.numbers[found.choice.best]
    assert told.recipe["parallel_size"] == found.recipe(found.choice.best).parallel_size
    assert [each.role for each in told.against][:1] == ["base"]
    assert len(told.against) == 3
    assert told.settled == (told.probability >= told.level)
    assert sum(rival.chance for rival in told.rivals) <= 1
    assert told.number not in [rival.number for rival in told.rivals]


def test_a_gain_over_a_baseline_is_the_truth_within_its_interval(found):
    told = answer(found)
    recipe = found.recipe(found.choice.best)
    for each in told.against:
        other = (
            (0.6, 1.0) if each.role == "base" else truth(found.evidence.record(each.number).recipe)
        )
        for gain, one, two in zip(each.gains, truth(recipe), other, strict=True):
            assert gain.low - 0.005 <= one - two <= gain.high + 0.005
            assert gain.low <= gain.gain <= gain.high


def test_a_model_is_not_fooled_by_what_only_looked_best():
    """All recipes alike: the best looks better than it is by the means, and not by the model. Over
    10 runs of 14 recipes."""
    claimed, expected = [], []
    for seed in range(10):
        run = make_run(14, noise=0.004, seed=seed)
        flat = run.evidence()
        rng = np.random.default_rng(seed)
        gaps = flat.gaps.copy()
        gaps[:, :2] = rng.normal(0, 0.004, gaps[:, :2].shape)
        even = replace(flat, gaps=gaps)
        best = joint_posterior(even, OBJECTIVES, SPACE)
        claimed.append(gaps[:, :2].sum(axis=1).max())
        expected.append(best.means[best.choice.best].sum())
    assert np.mean(claimed) > 0.005
    assert np.mean(expected) < np.mean(claimed) / 3


def test_too_few_recipes_are_compared_by_their_means():
    run = make_run(2)
    told = joint_posterior(run.evidence(), OBJECTIVES, SPACE)
    assert told.surface is None
    assert told.means[1:] == pytest.approx(run.evidence().gaps[:, :2])
    assert answer(told).untried is None
    assert not answer(told).modelled
    assert modelled_front(told) == ()


def test_no_answer_before_a_recipe_is_measured():
    run = make_run(2)
    assert posterior_of(run.records[:1], make_study(), SPACE, no_draws) is None
    assert posterior_of(run.records[1:], make_study(), SPACE, no_draws) is None


def test_a_study_with_constraints_is_told_no_untried_recipe():
    run = make_run(8)
    study = make_study(constraints={"retention": Limit(at_least=0.9)})
    free, bound = (posterior_of(run.records, s, SPACE, run.draws) for s in (make_study(), study))
    assert free is not None and bound is not None
    assert free.untried
    assert not bound.untried
    assert answer(bound).untried is None


def made_up(means: list[list[float]], deviation: float) -> JointPosterior:
    """The untouched model and recipes 0, 1, ... with independent normal beliefs."""
    run = make_run(max(1, len(means) - 2))
    evidence = run.evidence()
    gaps = np.array([[0.0, 0.0], *means])
    draws = gaps + np.random.default_rng(0).normal(0, deviation, (4000, *gaps.shape))
    draws[:, 0] = 0
    return JointPosterior(evidence, OBJECTIVES, (), gaps, draws, None)


GOOD, BAD = [0.04, -0.02], [0.01, -0.2]


def test_the_untouched_model_can_be_the_answer():
    told = answer(made_up([[-0.01, -0.1], [-0.02, -0.2], BAD], 0.001))
    assert (told.number, told.role, told.seeds) == (-1, "base", 0)
    assert "keep the base model as it is" in answer_head(told)[0]
    assert [each.role for each in told.against] == ["parallel_only", "uniform"]


def test_a_clear_best_is_settled():
    told = answer(made_up([BAD, GOOD, BAD], 0.001))
    assert told.number == 1
    assert told.settled
    assert told.settling is None
    assert any("; settled (at least 0.95 is required)" in line for line in answer_lines(told))


def test_two_alike_are_not_settled_and_it_is_said_what_would():
    told = answer(made_up([BAD, GOOD, [0.038, -0.01], BAD], 0.02))
    assert not told.settled
    assert {told.number, told.rivals[0].number} == {1, 2}
    assert told.settling is not None
    assert set(told.settling.numbers) == {1, 2}
    words = " ".join(answer_lines(told))
    assert "not settled (at least 0.95 is required)" in words
    assert "Others that may be best (probability): trial" in words


def test_the_next_repeat_is_of_the_two_that_may_be_best():
    told = made_up([BAD, GOOD, [0.038, -0.01], BAD], 0.02)
    assert next_repeat(told, [0, 1, 2, 3]) in (1, 2)
    once = JointPosterior(
        replace(told.evidence, seeds=(1, 3, 1, 1)), OBJECTIVES, (), told.means,
        told.draws, None,
    )  # fmt: skip
    assert next_repeat(once, [0, 1, 2, 3]) == 2, "fewer seeds are known of it"
    assert next_repeat(once, [0, 1, 3]) == 1
    assert next_repeat(once, [0, 3]) is None


def test_the_table_has_a_row_for_each_baseline_and_objective(found):
    sheet = expected_sheet(answer(found).against)
    assert [row[0] for row in sheet.rows][:2] == ["base model, untouched", ""]
    assert [row[1] for row in sheet.rows] == ["quality", "retention"] * 3


def test_the_modelled_front_has_trained_and_untried_recipes(found):
    points = modelled_front(found)
    gaps = np.array([[p.objectives[n].gap for n in OBJECTIVES] for p in points])
    assert (np.diff(gaps[:, 0]) <= 0).all()
    assert (np.diff(gaps[:, 1]) >= 0).all()
    assert any(p.number is None for p in points)
    for point in points:
        for gap in point.objectives.values():
            assert gap.low <= gap.gap <= gap.high


def test_untried_recipes_are_of_the_space_and_the_first_is_worth_most(found):
    assert found.untried
    worths = worth(found.means[len(found.numbers) :], found.scale)
    assert worths[0] >= worths.max() - 0.02
    for recipe in found.untried:
        assert isinstance(recipe, Recipe)
        assert 100 <= recipe.parallel_size <= 10_000
        assert 0 <= recipe.mono_ratio <= 2


def test_an_answer_is_the_same_again(found):
    assert answer(found) == answer(joint_posterior(found.evidence, OBJECTIVES, SPACE))


def open_answer(found, probability=0.9, **settling):
    """Not settled at .95."""
    what = Settling(**{"numbers": (1, 2), "repeats": 3, "minutes": 5, "segments": None, **settling})
    changes = {"probability": probability, "level": 0.95, "settled": False, "settling": what}
    return "\n".join(answer_lines(answer(found).model_copy(update=changes)))


@pytest.mark.parametrize(
    "settling, said",
    [
        ({}, "train trial 1 and trial 2 3 more times with other seeds, about 5 minutes"),
        ({"repeats": 0, "segments": 1.0}, "Against trial 1 and trial 2 alone it would hold"),
        ({"repeats": None, "segments": 1.01}, "use 1.1 times as many evaluation segments"),
        ({"repeats": None}, "both are needed"),
    ],
)
def test_what_would_settle_it_in_words(found, settling, said):
    assert said in open_answer(found, **settling)


@pytest.mark.parametrize("chance, text", [(0.5, ".50"), (0.9471, ".947"), (0.9499, ".949")])
def test_what_is_not_settled_does_not_look_so(found, chance, text):
    assert f"more: {text}; not settled (at least 0.95 is required)" in open_answer(found, chance)


@pytest.mark.parametrize("chance, text", [(0.999, "> .99"), (0.001, "< .01"), (0.5, ".50")])
def test_chances_in_words(chance, text):
    assert chance_text(chance) == text


def test_the_scale_of_trained_recipes_alone(found):
    trained = found.means[1 : len(found.numbers)]
    assert found.scale == pytest.approx(scales(trained, np.zeros(2)))
    assert found.choice.best == choose(found.worth[:, : len(found.numbers)]).best


def test_what_looked_best_is_told_beside_what_of_it_is_expected_to_last():
    """Recipe 2 has the best values and is expected to be worth less than recipe 1."""
    told = made_up([BAD, GOOD, [0.038, -0.03], BAD], 0.001)
    gaps = told.evidence.gaps.copy()
    gaps[:, :2] = [BAD, GOOD, [0.06, -0.01], BAD]
    lucky = JointPosterior(
        replace(told.evidence, gaps=gaps), OBJECTIVES, (), told.means, told.draws,
        None,
    )  # fmt: skip
    found = answer(lucky).looked_best
    assert found is not None
    assert found.number == 2
    assert found.observed == pytest.approx({"quality": 0.02, "retention": 0.01})
    assert [gain.gain for gain in found.expected] == pytest.approx([-0.002, -0.01])
    assert any(
        "By its measured values, trial 2 is worth more" in line
        for line in answer_lines(answer(lucky))
    )
    gaps[:, :2] = [BAD, GOOD, [0.038, -0.03], BAD]
    even = replace(told.evidence, gaps=gaps)
    assert (
        answer(JointPosterior(even, OBJECTIVES, (), told.means, told.draws, None)).looked_best
        is None
    )


@pytest.mark.parametrize(
    "value, points, text",
    [
        (0.02549, False, "+0.025"),
        (-0.0001, False, "+0.000"),
        (-0.04, True, "+0.0"),
        (4.46, True, "+4.5"),
    ],
)
def test_a_gain_has_the_decimals_of_its_measure(value, points, text):
    assert number_text(value, points=points) == text
