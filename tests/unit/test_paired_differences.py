"""What recipes are compared with, and their paired differences to it."""

from pathlib import Path

import numpy as np
import pytest
from records_factory import make_baselines, make_record, make_run, make_study

from mtray.analysis.uncertainty import Z95
from mtray.errors import ConfigError
from mtray.report.differences import Difference, joint
from mtray.report.front_builder import build_front
from mtray.report.groups import group_trials
from mtray.report.paired_differences import (
    ABSOLUTE,
    all_differences,
    reference_note,
    reference_number,
    trial_differences,
)
from mtray.schema import Recipe

TWICE = [
    make_record(4, 0.61, 0.8, recipe=Recipe(parallel_size=9)),
    make_record(5, 0.63, 0.8, recipe=Recipe(parallel_size=9), of=4, seed=2, replicate=1),
]
SEARCHED = [make_record(7)]


@pytest.mark.parametrize(
    ("records", "against", "expected"),
    [
        (make_baselines(), None, -1),
        (make_baselines()[1:], None, 0),
        (SEARCHED, None, None),
        (make_baselines(), "mono_one_to_one", 1),
        (make_baselines(), "-1", -1),
        ([*make_baselines(), *TWICE], "4", 4),
        ([*make_baselines(), *TWICE], "5", 4),  # a repeat stands for its recipe
        (SEARCHED, "7", 7),
    ],
)
def test_what_is_compared_with(records, against, expected):
    assert reference_number(group_trials(records), against) == expected


@pytest.mark.parametrize("against", ["search", "uniform", "9", "trial 4", ""])
def test_no_such_recipe(against):
    """`search` is no recipe's name: many have it."""
    with pytest.raises(ConfigError, match="allowed: base, parallel_only, mono_one_to_one, 0, 1, 4"):
        reference_number(group_trials([*make_baselines(), *TWICE]), against)


def test_another_reference_than_the_base_model_is_said():
    groups = group_trials(make_baselines()[1:])
    assert "to another recipe: parallel_only, trial 0" in reference_note(groups, 0)[0]
    assert reference_note(group_trials(SEARCHED), None) == (ABSOLUTE,)
    assert reference_note(group_trials(make_baselines()), -1) == ()
    front = build_front(make_run(3)[1:], make_study(), Path("run"))
    assert front.reference == 0 and any("The base model is not complete" in n for n in front.notes)


def shared_draws(records, own=0.001, n=2000):
    """Nearly all of a trial's spread of .1 is shared by all."""
    rng = np.random.default_rng(0)
    common = rng.normal(0, 0.1, n)
    found = {
        r.number: {
            name: score.value + common + rng.normal(0, own, n)
            for name, score in {**r.scores, **r.objectives}.items()
        }
        for r in records
    }
    return lambda number, names: {k: v for k, v in found[number].items() if k in names}


@pytest.fixture
def no_seeds(monkeypatch):
    """Without an error of the seeds."""
    monkeypatch.setattr("mtray.report.differences.seed_draws", lambda *_: 0.0)


def half(found):
    return (found.high - found.low) / 2


def test_differences_of_everything_to_every_baseline(no_seeds):
    records = [
        make_record(-1, 0.42, 1.0, "base"),
        make_record(0, 0.6, 0.7, "parallel_only"),
        *TWICE,
    ]
    groups, draws = group_trials(records), shared_draws(records)
    together = joint(groups, ["quality", "retention"], draws)
    found = all_differences(groups, together, [-1, 0], draws)
    assert {n: set(to) for n, to in found.items()} == {n: {-1, 0} for n in (-1, 0, 4)}
    assert set(found[4][-1]) == {
        "quality",
        "retention",
        "comet.en-uk",
        "bleu.en-uk",
        "retention.animacy",
    }
    for name in ("quality", "comet.en-uk"):
        gap = found[4][-1][name]
        assert gap.gap == pytest.approx(0.62 - 0.42)
        # the mean of two trials and one more, of .001 each; what all share is gone
        assert half(gap) == pytest.approx(Z95 * 0.001 * 1.5**0.5, rel=0.1)
    assert found[4][0]["quality"].gap == pytest.approx(0.02)
    assert found[0][0]["quality"] == Difference(0, 0, 0)


def test_a_measure_that_one_side_lacks_has_no_difference():
    records = [make_record(-1, 0.42, 1.0, "base"), make_record(3, scores={})]
    groups = group_trials(records)
    found = all_differences(groups, joint(groups, ["quality", "retention"]), [-1])
    assert set(found[3][-1]) == {"quality", "retention"}
    assert trial_differences(groups, -1)("bleu.en-uk") == {-1: Difference(0, 0, 0)}


def test_single_trials_beside_a_recipe(no_seeds):
    """Trial 5 against the mean of itself and 4: half the difference of the two, and half its
    error."""
    records = [make_record(-1, 0.42, 1.0, "base"), *TWICE]
    groups, draws = group_trials(records), shared_draws(records)
    to_base = trial_differences(groups, -1, draws)("quality")
    assert {n: round(d.gap, 6) for n, d in to_base.items()} == {-1: 0, 4: 0.19, 5: 0.21}
    assert half(to_base[5]) == pytest.approx(Z95 * 0.001 * 2**0.5, rel=0.1)
    to_recipe = trial_differences(groups, 4, draws)("quality")
    assert to_recipe[5].gap == pytest.approx(0.01)
    assert half(to_recipe[5]) == pytest.approx(Z95 * 0.001 * 0.5**0.5, rel=0.1)


def test_single_trials_have_the_seeds_variance_of_all_recipes():
    """A single trial has no repeat of its own; the two of recipe 4 are known to be apart."""
    records = [make_record(-1, 0.42, 1.0, "base"), *TWICE, make_record(7, 0.5)]
    groups, draws = group_trials(records), shared_draws(records)
    alone = trial_differences(group_trials([records[0], records[3]]), -1, draws)("quality")[7]
    known = trial_differences(groups, -1, draws)("quality")[7]
    assert half(known) > 3 * half(alone)
