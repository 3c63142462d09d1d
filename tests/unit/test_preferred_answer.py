"""The answer of a study with a preference, and what follows from it."""

import numpy as np
import pytest
from records_factory import make_study
from surface_factory import OBJECTIVES, SPACE, make_run, truth, write_made_up

from mtray.analysis.decision import worth
from mtray.report.answer import answer
from mtray.report.answer_text import answer_head, answer_lines, with_texts
from mtray.report.posterior import JointPosterior, joint_posterior, posterior_of
from mtray.schema import Preference
from mtray.search.ledger.report_advisor import report_advisor


def prefer(**found):
    return {name: Preference.model_validate(p) for name, p in found.items()}


FLOOR = prefer(retention={"at_least": 0.97})
QUALITY = prefer(quality={"weight": 5})
RETENTION = prefer(retention={"weight": 5})


@pytest.fixture(scope="module")
def run():
    return make_run(14, noise=0.002, seed=3)


def believed(run, wanted=None) -> JointPosterior:
    return joint_posterior(run.evidence(), OBJECTIVES, SPACE, prefer=wanted)


def chosen(found: JointPosterior):
    """True quality and retention of the recommended recipe."""
    return truth(found.recipe(found.choice.best)) if found.choice.best else (0.6, 1.0)


def test_equal_weights_change_nothing(run):
    plain = believed(run)
    same = believed(run, prefer(quality={"weight": 2}, retention={"weight": 2}))
    assert (plain.worth == same.worth).all()
    assert plain.choice.probability == same.choice.probability
    assert plain.untried == same.untried
    assert plain.order == same.order


def test_weights_move_the_answer_along_the_front(run):
    plain, quality, retention = (chosen(believed(run, w)) for w in ({}, QUALITY, RETENTION))
    assert quality[0] >= plain[0] >= retention[0]
    assert quality[1] <= plain[1] <= retention[1]
    assert quality != retention


def test_a_floor_is_reached_and_the_best_of_what_reaches_it_is_chosen(run):
    found = believed(run, FLOOR)
    best = found.choice.best
    reaching = np.flatnonzero(found.choice.reaches >= 0.5)
    assert best in reaching
    assert best == reaching[np.argmax(found.worth.mean(axis=0)[reaching])]
    told = answer(found)
    assert told.reaches == found.choice.reaches[best] >= 0.5
    assert told.reached[0].limit == "at least 0.97"
    assert told.reached[0].expected >= 0.97
    assert told.prefer == FLOOR and told.weights == {"quality": 1, "retention": 1}


def test_the_untrained_recipe_follows_too(run):
    found = believed(run, FLOOR)
    means = found.means[len(found.numbers) :]
    best = truth(found.untried[0])
    assert best[1] > 0.96
    reaching = means[:, 1] >= found.utility.floors[1]
    worths = worth(means, found.scale)
    assert worths[0] >= worths[reaching].max() - 0.05
    free = truth(believed(run).untried[0])
    assert best[1] > free[1]


def test_doubt_about_weights_is_doubt_about_the_answer(run):
    """Even without noise; the recipe is still chosen by the expected weights."""
    means = np.array([[0, 0], [0.04, -0.1], [0.01, 0.0], [0.0, -0.1]])
    evidence = make_run(2, noise=1e-6).evidence()
    sharp = JointPosterior(
        evidence, OBJECTIVES, (), means, np.tile(means, (4000, 1, 1)), None, QUALITY
    )
    vague = JointPosterior(
        evidence, OBJECTIVES, (), means, sharp.draws, None, prefer(quality={"weight": [0.1, 9]})
    )
    assert sharp.choice.probability == 1
    assert 0.5 < vague.choice.probability < 1
    assert sharp.choice.best == vague.choice.best == 1


def told(run, wanted):
    return with_texts(answer(believed(run, wanted)), "RUN")


def test_in_words(run):
    found = told(run, FLOOR)
    words = " ".join(found.text)
    assert "The study prefers retention at least 0.97." in found.text
    assert "(at least 0.97: probability " in words
    assert "Its expected worth is the highest of those that probably reach the limits" in words
    assert ", or nearer to the limits by that: " in words
    weighted = " ".join(told(run, QUALITY).text)
    assert "The study prefers weights: quality 5, retention 1." in weighted
    assert "and times its weight (quality 1.67, retention 0.333)" in weighted
    assert "limits" not in weighted


def test_a_limit_that_nothing_reaches_in_words(run):
    found = told(run, prefer(quality={"at_least": 0.9}))
    words = " ".join(found.text)
    assert found.reaches == 0 and found.nearest == found.number
    assert "the answer is the one that is expected to miss it by least" in words
    assert "the base model itself has 0.600 and does not reach that" in words
    assert "The limits decided, and not worth" in words


def test_the_base_model_alone_reaches_it(run):
    found = told(run, prefer(retention={"at_least": 0.99999}))
    assert found.number == -1 and found.nearest >= 0
    words = " ".join(found.text)
    assert "With what the study prefers, no trained recipe" in found.text[0]
    assert f"of the trained recipes trial {found.nearest} is expected to miss it by least" in words


def test_without_a_preference_nothing_is_said_of_one(run):
    found = answer(believed(run))
    words = " ".join([*answer_head(found), *answer_lines(found)])
    assert "prefer" not in words and "limits" not in words
    assert (found.reaches, found.reached, found.nearest) == (None, (), None)


def test_the_confirmation_trains_what_is_preferred(run, tmp_path):
    study = make_study(prefer=FLOOR)
    folder = write_made_up(tmp_path / "a", run, study)
    found = report_advisor(folder, study, SPACE).recommend(run.records)
    assert found is not None
    mine = posterior_of(run.records, study, SPACE, run.draws)
    if found.repeats_of is None:
        assert SPACE.recipe(found.params) == mine.untried[0]
    else:
        assert found.repeats_of == mine.numbers[mine.choice.best]
    free = report_advisor(folder, make_study(), SPACE).recommend(run.records)
    assert found.params != free.params
