"""Whole simulated sweeps with a known truth, a few of each kind: `benchmarks/calibration.py` runs
many. The bounds are those of so few sweeps, wide enough that chance alone does not break them."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from calibration import SCENARIOS, Tally, run

SWEEPS = 12


def tallied(name):
    scenario = next(s for s in SCENARIOS if s.name == name)
    tally = Tally()
    for seed in range(SWEEPS):
        tally.add(run(replace(scenario, resamples=200), seed))
    return tally


@pytest.mark.parametrize(
    "name",
    ["no effect, no repeat", "no effect, three repeats", "two directions on the same sentences",
     "reversion to two alphas", "checkpoints at two shares"],
)  # fmt: skip
def test_intervals_hold_and_nothing_is_claimed_where_nothing_is(name):
    tally = tallied(name)
    # of one sweep all recipes have the base model and the segments in common: 0.014 by sweep
    assert abs(np.mean(tally.values["retention - truth"])) < 3 * 0.014 / SWEEPS**0.5
    assert tally.counts["better, falsely"][0] <= 2
    for kind in ("quality", "retention", "difference to base"):
        errors = np.std(tally.shares[f"covers: {kind}"]) / SWEEPS**0.5
        assert tally.share(f"covers: {kind}") > 0.95 - 3 * max(errors, 0.02), kind
    assert tally.share("covers: retention of an ability") == pytest.approx(0.955, abs=0.03)


def test_a_true_gain_is_seen():
    tally = tallied("one recipe keeps .10 more, three repeats")
    assert tally.counts["better, truly"][0] >= 4
    assert tally.counts["better, falsely"][0] <= 1
