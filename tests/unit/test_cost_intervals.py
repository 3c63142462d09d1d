"""A cost is as certain as repeated trainings show it, and never makes a front better by itself."""

from pathlib import Path

import pytest
from records_factory import make_record, make_study

from mtray.report.baseline_gains import against_lines
from mtray.report.front_builder import build_front
from mtray.schema import Recipe, Score

STUDY = make_study(objectives={"quality": "max", "cost.seconds": "min"})


def trial(number, quality, seconds, **changes):
    cost = Score(value=seconds, low=seconds, high=seconds, n=1, signature="wall clock")
    record = make_record(number, quality, half=0.02, **changes)
    objectives = {"quality": record.objectives["quality"], "cost.seconds": cost}
    return record.model_copy(update={"objectives": objectives})


def run(*baseline_seconds, mine):
    """A baseline trained that often, and a searched recipe of the same quality."""
    first, *others = baseline_seconds
    again = [
        trial(10 + i, 0.6, seconds, role="parallel_only", of=0, replicate=i + 1, seed=2 + i)
        for i, seconds in enumerate(others)
    ]
    return [
        trial(-1, 0.4, 0.0, role="base"),
        trial(0, 0.6, first, role="parallel_only"),
        *again,
        trial(2, 0.6, mine, recipe=Recipe(parallel_size=1000)),
    ]


@pytest.mark.parametrize(
    ("baseline", "mine", "verdict"),
    [
        ((100.0,), 99.0, "no interval"),
        ((100.0,), 50.0, "no interval"),
        # a spread of about 1.4 seconds over seeds
        ((99.0, 101.0), 99.5, "within noise"),
        ((99.0, 101.0), 50.0, "cheaper"),
    ],
)
def test_a_gain_in_cost(baseline, mine, verdict):
    front = build_front(run(*baseline, mine=mine), STUDY, Path("runs/x"))
    (against,) = [c for c in front.comparisons if c.role == "parallel_only"]
    by = {gain.objective: gain for gain in against.gains}
    assert by["cost.seconds"].verdict == verdict
    assert not against.better
    lines = " ".join(against_lines(front))
    for word in ("no interval", "cheaper"):
        assert (f"{word}: " in lines) == (verdict == word)


def test_a_recipe_that_costs_as_much_within_noise_is_as_good_there():
    """By its value it is not: .3 seconds decide nothing."""
    better = {2: 0.9}
    records = [
        trial(r.number, better.get(r.number, 0.6), 100.3, recipe=r.recipe)
        if r.number == 2 else r
        for r in run(99.0, 101.0, mine=100.3)
    ]  # fmt: skip
    front = build_front(records, STUDY, Path("runs/x"))
    (against,) = [c for c in front.comparisons if c.role == "parallel_only"]
    gain = next(g for g in against.gains if g.objective == "quality")
    assert (gain.number, gain.matched, gain.verdict) == (2, "noise", "better")
    chances = {p.number: p.p_front for p in front.points}
    assert 0.2 < chances[0] < 0.8, "it may be the cheaper of the two"
