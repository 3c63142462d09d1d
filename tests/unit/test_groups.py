"""Trials of one recipe as one point."""

from pathlib import Path

import numpy as np
import pytest
from records_factory import make_baselines, make_failed, make_record, make_score, make_study

from mtray.analysis.seed_variance import PRIOR_FREEDOM, PRIOR_RATIO
from mtray.analysis.uncertainty import Z95
from mtray.report.bootstrap_draws import write_draws
from mtray.report.export import front_rows, read_front
from mtray.report.front_builder import build_front
from mtray.report.groups import (
    group_trials,
    seed_variance,
    training_shares,
)
from mtray.report.records import write_record
from mtray.report.seed_means import mean_records, mean_score
from mtray.schema import Recipe

A, B, C = (Recipe(parallel_size=n) for n in (100, 200, 400))


def repeat(original, number, replicate, quality, retention=None):
    """A replicate of a record."""
    kept = original.objectives["retention"].value if retention is None else retention
    return make_record(
        number, quality, kept, original.role, recipe=original.recipe, seed=1 + replicate,
        replicate=replicate, of=original.number,
    )  # fmt: skip


def test_trials_of_a_recipe_are_one_group_by_their_role():
    first = make_record(2, recipe=A)
    records = [repeat(first, 9, 1, 0.5), make_record(3, recipe=B), first, repeat(first, 7, 2, 0.5)]
    groups = group_trials([*records, make_record(0, recipe=A, role="parallel_only")])
    assert [[t.number for t in g.trials] for g in groups] == [[0], [2, 7, 9], [3]]
    assert [g.original.number for g in groups] == [0, 2, 3]


def test_a_replicate_whose_original_failed_stands_for_it():
    first = make_record(2, recipe=A)
    groups = group_trials([repeat(first, 7, 1, 0.5), repeat(first, 9, 2, 0.7)])
    assert groups[0].original.number == 7
    assert mean_records(groups)[0].objectives["quality"].value == pytest.approx(0.6)


def test_a_trial_run_twice_with_one_seed_is_no_second_sample():
    one, again = make_record(2, 0.6, recipe=A), make_record(5, 0.6, recipe=A)
    other = repeat(one, 7, 1, 0.7)
    (group,) = group_trials([one, again, other])
    assert [t.number for t in group.seeds] == [2, 7]
    front = build_front([one, again, other], make_study(), Path("run"))
    assert (front.points[0].trials, front.points[0].replicates) == ((2, 5, 7), 2)
    assert front.points[0].objectives["quality"].value == pytest.approx(0.65)


def test_a_mean_by_hand():
    # segments' half widths of 0.02 on average, the seeds' of one trial 0.06, the mean of two
    scores = [make_score(0.60, 0.01), make_score(0.62, 0.03)]
    found = mean_score(scores, 0.06)
    half = (0.02**2 + 0.06**2 / 2) ** 0.5
    assert found.value == pytest.approx(0.61)
    assert (found.low, found.high) == pytest.approx((0.61 - half, 0.61 + half))
    assert found.n == 200 and found.signature == "made-up|1|seeds:2"


def test_without_replicates_the_prior_widens_all_but_the_untouched_model():
    records = [*make_baselines(), make_record(2, recipe=A), make_record(3, recipe=B)]
    means = mean_records(group_trials(records))
    assert means[0].objectives == records[0].objectives
    assert means[0].scores == records[0].scores
    # a standard error of 0.01 / 1.96, Student's t of 4 degrees: 2.7764
    half = np.hypot(0.01, 2.7764 * PRIOR_RATIO * 0.01 / Z95)
    for mean, record in zip(means[1:], records[1:], strict=True):
        found = mean.objectives["quality"]
        assert found.value == record.objectives["quality"].value
        assert (found.high - found.low) / 2 == pytest.approx(half, rel=1e-4)
    front = build_front(records, make_study(), Path("run"))
    assert {p.replicates for p in front.points} == {1}
    assert front.objectives[0].seed_deviation == pytest.approx(PRIOR_RATIO * 0.01 / Z95)
    assert "No recipe was trained with a second seed" in " ".join(front.notes)


def test_repeated_recipes_say_how_wide_intervals_are():
    records = [*make_baselines(), make_record(2, 0.6, recipe=A), make_record(3, 0.6, recipe=B)]
    plain = build_front(records, make_study(), Path("run"))
    repeated = [*records, repeat(records[3], 9, 1, 0.63), repeat(records[3], 10, 2, 0.60)]
    front = build_front(repeated, make_study(), Path("run"))
    assert front.point(2).trials == (2, 9, 10) and front.point(2).replicates == 3
    assert front.point(2).objectives["quality"].value == pytest.approx(0.61)

    def width(found, number, name="quality"):
        score = found.point(number).objectives[name]
        return score.high - score.low

    assert front.point(-1).objectives == plain.point(-1).objectives
    assert front.point(-1).scores == plain.point(-1).scores
    for number in (0, 1, 3):
        assert width(front, number) > width(plain, number)
    assert width(front, 2) < width(front, 3), "its mean is surer than a single trial"
    prior = PRIOR_FREEDOM * (PRIOR_RATIO * 0.01 / Z95) ** 2
    expected = ((prior + 2 * 0.03**2 / 3) / (PRIOR_FREEDOM + 2)) ** 0.5
    assert front.objectives[0].seed_deviation == pytest.approx(expected)
    note = next(n for n in front.notes if "more than one seed" in n)
    assert "1 of 5 recipes" in note and "(2 degrees of freedom) and a prior (4)" in note


def test_no_interval_leaves_what_a_measure_can_be():
    """With a wide error of the seeds: failures of 1 in 100, an accuracy of .99."""
    few = make_score(0.01, 0.008).model_copy(update={"least": 0.0, "most": 1.0})
    many = few.model_copy(update={"value": 0.99, "low": 0.98, "high": 0.997})
    assert (mean_score([few, few], 0.5).low, mean_score([many, many], 0.5).high) == (0.0, 1.0)
    assert mean_score([few], 0.5).low == 0.0
    free = make_score(0.01, 0.008)
    assert mean_score([free], 0.5).low < -0.4


def reverted(record, quality):
    """The weights of a trial half of the way back to the base model."""
    recipe = record.recipe.model_copy(update={"reversion_alpha": 0.5})
    number = 1_000_000 + record.number
    return make_record(
        number, quality, recipe=recipe, seed=record.seed, replicate=record.replicate,
        of=None if record.of is None else 1_000_000 + record.of, trained_as=record.number,
    )  # fmt: skip


def test_trials_that_share_a_training_are_no_repeats_of_each_other():
    first = make_record(2, 0.60, recipe=A)
    again = repeat(first, 7, 1, 0.64)
    records = [first, again, reverted(first, 0.55), reverted(again, 0.57)]
    groups = group_trials(records)
    found = seed_variance(groups, ["quality"])
    assert found.repeats == 1
    # deviations of 0.02 at alpha 1, of 0.01 half way: 0.0008 and 0.0002 / 0.25, the mean of both
    prior = PRIOR_FREEDOM * (PRIOR_RATIO * 0.01 / Z95) ** 2
    assert found.variance[0] == pytest.approx((prior + 0.0008) / (PRIOR_FREEDOM + 1))
    assert training_shares(groups).tolist() == [[0.5, 0.5], [0.25, 0.25]]
    means = mean_records(groups)
    halves = [m.objectives["quality"].high - m.objectives["quality"].value for m in means]
    by_seed = [half**2 - 0.01**2 for half in halves]
    assert by_seed[0] == pytest.approx(4 * by_seed[1]), "a seed moves it half as far"


def early(record, quality, share=0.25):
    """The weights of a trial after a part of its steps."""
    recipe = record.recipe.model_copy(update={"stop_after": share})
    beyond = 2_000_000 if share == 0.25 else 3_000_000
    return make_record(
        beyond + record.number, quality, recipe=recipe, seed=record.seed,
        replicate=record.replicate, of=None if record.of is None else beyond + record.of,
        trained_as=record.number,
    )  # fmt: skip


def test_intermediate_checkpoints_share_a_part_of_their_trainings_errors():
    """By hand: the square root of a quarter of the training's, and an own part, of two seeds
    each. They say nothing of the variance where the whole training does."""
    first = make_record(2, 0.60, recipe=A)
    again = repeat(first, 7, 1, 0.64)
    whole = seed_variance(group_trials([first, again]), ["quality"])
    groups = group_trials([first, again, early(first, 0.5), early(again, 0.7)])
    found = seed_variance(groups, ["quality"])
    assert (found.variance, found.repeats) == (whole.variance, 1)
    shares = training_shares(groups)
    own = 0.5 * 0.75**0.5
    assert shares == pytest.approx(np.array([[0.5, 0.5, 0, 0], [0.25, 0.25, own, own]]))
    means = mean_records(groups)
    halves = [m.objectives["quality"].high - m.objectives["quality"].value for m in means]
    assert halves[0] == pytest.approx(halves[1]), "as uncertain as the whole, to be safe"


@pytest.mark.parametrize("a, b, correlation", [
    ("whole", "quarter", 0.5), ("whole", "most", 0.81**0.5), ("quarter", "most", 0.5 * 0.81**0.5),
    ("half way back", "quarter", 0.5), ("whole", "half way back", 1.0), ("whole", "other", 0.0),
])  # fmt: skip
def test_points_of_one_training_by_what_they_share_of_it(a, b, correlation):
    first = make_record(2, 0.60, recipe=A)
    points = {
        "whole": first, "quarter": early(first, 0.5), "most": early(first, 0.5, 0.81),
        "half way back": reverted(first, 0.5), "other": make_record(3, recipe=B),
    }  # fmt: skip
    groups = group_trials(list(points.values()))
    by_number = {
        g.original.number: row for g, row in zip(groups, training_shares(groups), strict=True)
    }
    rows = {name: by_number[record.number] for name, record in points.items()}
    length = {name: float(np.linalg.norm(row)) for name, row in rows.items()}
    assert rows[a] @ rows[b] / (length[a] * length[b]) == pytest.approx(correlation)
    assert length["quarter"] == pytest.approx(length["whole"]) == pytest.approx(1.0)


def test_a_checkpoint_whose_training_came_to_nothing_stands_for_it():
    """The whole trial broke a constraint, say."""
    first = early(make_record(2, recipe=A), 0.60)
    again = early(repeat(make_record(2, recipe=A), 7, 1, 0.6), 0.64)
    groups = group_trials([first, again])
    assert seed_variance(groups, ["quality"]).repeats == 1
    assert training_shares(groups).tolist() == [[0.5, 0.5]]


def test_the_front_is_of_means_and_not_of_the_luckiest():
    lucky = make_record(2, 0.70, 0.7, recipe=A)
    sound = make_record(3, 0.66, 0.7, recipe=B)
    assert build_front([lucky, sound], make_study(), Path("run")).front == (2,)
    unlucky = repeat(lucky, 4, 1, 0.60)
    front = build_front([lucky, sound, unlucky], make_study(), Path("run"))
    assert front.front == (3,)
    assert [p.number for p in front.points] == [2, 3]
    assert (front.searched, front.trials) == (2, 3)


def test_rows_name_the_trials():
    first = make_record(2, recipe=A)
    records = [first, repeat(first, 7, 1, 0.5), make_record(3, recipe=B), make_failed(8)]
    rows = front_rows(build_front(records, make_study(), Path("run")))
    found = [(r["number"], r["replicates"], r["trials"]) for r in rows]
    assert found == [(2, 2, "2 7"), (3, 1, "3")]


def test_the_order_of_records_does_not_matter():
    first = make_record(2, recipe=A)
    records = [*make_baselines(), first, make_record(3, recipe=B), repeat(first, 7, 1, 0.5)]
    records += [repeat(records[1], 8, 1, 0.6), repeat(first, 9, 2, 0.55)]
    forward = build_front(records, make_study(), Path("run"))
    assert forward == build_front(records[::-1], make_study(), Path("run"))


def write_sampled(run_dir, record, segments, rng):
    """A record and its paired draws, whose spread over segments all trials share."""
    write_record(run_dir, record)
    draws = {
        name: record.objectives[name].value + segments + rng.normal(0, 0.0005, len(segments))
        for name in ("quality", "retention")
    }
    write_draws(run_dir, record.number, draws)


def test_seeds_blur_the_front_where_draws_are_paired(tmp_path):
    """On the same segments C is sure to be better than B in all; over seeds it is not."""
    rng = np.random.default_rng(0)
    segments = rng.normal(0, 0.01, 500)
    base = make_record(-1, 0.3, 0.3, role="base")
    b, c = make_record(2, 0.600, 0.700, recipe=B), make_record(3, 0.606, 0.706, recipe=C)
    for record in (base, b, c):
        write_sampled(tmp_path, record, segments, rng)
    sure = read_front(tmp_path, make_study())
    assert [p.p_front for p in sure.points] == pytest.approx([0.0, 0.0, 1.0], abs=0.02)
    other = make_record(4, 0.5, 0.5, recipe=A)
    for record in (other, repeat(other, 5, 1, 0.52, 0.48), repeat(other, 6, 2, 0.48, 0.52)):
        write_sampled(tmp_path, record, segments, rng)
    blurred = read_front(tmp_path, make_study())
    assert 0.2 < blurred.point(2).p_front < 0.8
    assert blurred.point(4).p_front < 0.1


def test_intervals_of_points_cover_segments_and_seeds():
    """True values known: the share of 95 % intervals that hold them, of points with one seed and of
    means over three."""
    rng, held = np.random.default_rng(1), {1: [], 3: []}
    for _ in range(300):
        test_set = rng.normal(0, 0.01)
        records, number = [], 0
        for recipe, count in ((A, 3), (B, 3), (C, 1)):
            for k in range(count):
                value = 0.6 + test_set + rng.normal(0, 0.01)
                records.append(
                    make_record(number, value, 0.7, half=Z95 * 0.01, recipe=recipe, seed=k)
                )
                number += 1
        for mean, count in zip(mean_records(group_trials(records)), (3, 3, 1), strict=True):
            score = mean.objectives["quality"]
            held[count].append(score.low <= 0.6 <= score.high)
    assert np.mean(held[1]) == pytest.approx(0.96, abs=0.03)
    assert np.mean(held[3]) == pytest.approx(0.96, abs=0.03)
