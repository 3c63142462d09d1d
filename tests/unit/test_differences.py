"""Recipes beside each other: paired, with seeds, and with intervals that hold for all pairs."""

import itertools

import numpy as np
import pytest
from records_factory import make_record

from mtray.analysis.uncertainty import Z95
from mtray.report.differences import Difference, better_by, joint, widened
from mtray.report.groups import Group
from mtray.schema import Recipe

NAMES = ["quality", "retention"]


def two_draws(shift=0.02, own=0.001, n=2000):
    """Draws of two trials, numbers 0 and 10, that share nearly all of their spread."""
    rng = np.random.default_rng(0)
    common = rng.normal(0, 0.1, n)
    found = {}
    for number, value in ((0, 0.6 + shift), (10, 0.6)):
        quality = value + common + rng.normal(0, own, n)
        found[number] = {"quality": quality, "retention": np.full(n, 0.8)}
    return lambda number, names: {k: v for k, v in found.get(number, {}).items() if k in names}


def groups_of(*replicates, quality=(0.62, 0.6)):
    return [
        Group(tuple(make_record(10 * i + k, q, seed=k, of=10 * i if k else None) for k in range(n)))
        for i, (n, q) in enumerate(zip(replicates, quality, strict=True))
    ]


@pytest.fixture
def no_seeds(monkeypatch):
    """Without an error of the seeds."""
    monkeypatch.setattr("mtray.report.differences.seed_draws", lambda *_: 0.0)


def test_a_paired_difference_forgets_what_both_share(no_seeds):
    found = joint(groups_of(1, 1), NAMES, two_draws())
    assert found.paired
    gap = found.difference(0, 10, "quality")
    assert gap.gap == pytest.approx(0.02)
    # the shared spread of 0.1 is gone; two own spreads of 0.001 remain
    assert (gap.high - gap.low) / 2 == pytest.approx(Z95 * 0.001 * 2**0.5, rel=0.1)
    assert gap.low < 0.02 < gap.high
    back = found.difference(10, 0, "quality")
    assert (back.gap, back.low, back.high) == pytest.approx((-gap.gap, -gap.high, -gap.low))


def test_all_recipes_at_once_have_the_same_differences_as_one_by_one():
    found = joint(groups_of(1, 2), NAMES, two_draws())
    at_once = found.differences(10, "quality")
    assert at_once == {n: found.difference(n, 10, "quality") for n in (0, 10)}
    assert at_once[10] == Difference(0, 0, 0)


def test_without_draws_intervals_are_taken_as_independent(no_seeds):
    found = joint(groups_of(1, 1), NAMES)
    assert not found.paired
    gap = found.difference(0, 10, "quality")
    assert (gap.high - gap.low) / 2 == pytest.approx(0.01 * 2**0.5, rel=0.05)


def test_one_trial_without_draws_unpairs_all():
    draws = two_draws()
    assert not joint(groups_of(1, 2), NAMES, draws).paired


def test_a_difference_covers_the_seeds_too(monkeypatch):
    """Of one and of four seeds: standard deviation of one trial 0.01."""

    def normal(spread, shares, draws, seed=0):
        errors = np.random.default_rng(1).normal(0, 0.01, (draws, shares.shape[1], 2))
        return np.einsum("pt,dtm->dpm", shares, errors)

    monkeypatch.setattr("mtray.report.differences.seed_draws", normal)
    found = joint(groups_of(1, 4), NAMES, least=20_000)
    gap = found.difference(0, 10, "quality")
    segments = 0.01 * 2**0.5 / Z95  # half widths of 0.01 each
    expected = np.hypot(segments, 0.01 * (1 + 1 / 4) ** 0.5)
    assert (gap.high - gap.low) / 2 == pytest.approx(Z95 * expected, rel=0.04)


def test_intervals_that_hold_for_all_pairs_do_so_when_the_luckiest_is_picked(no_seeds):
    """Nothing is better than the baseline; the luckiest of forty is shown."""
    rng, wrong = np.random.default_rng(1), {"pair": 0, "all": 0}
    for _ in range(150):
        groups = [
            Group((make_record(i, rng.normal(0.6, 0.01), 0.5, half=0.0196, role=role,
                               recipe=Recipe(parallel_size=i + 1)),))
            for i, role in enumerate(["parallel_only"] + ["search"] * 40)
        ]  # fmt: skip
        found = joint(groups, ["quality", "retention"], least=500)
        stretch = found.stretch(range(1, 41), [0])
        best = int(found.values[1:, 0].argmax()) + 1
        gap = found.difference(best, 0, "quality")
        wrong["pair"] += gap.low > 0
        wrong["all"] += widened(gap, stretch).low > 0
    assert wrong["all"] / 150 < 0.05 < wrong["pair"] / 150


def test_a_single_pair_needs_no_stretch():
    found = joint(groups_of(1, 1), ["quality"])
    assert found.stretch([0], [10]) == pytest.approx(1, abs=0.05)
    assert found.stretch([0], []) == found.stretch([], [10]) == 1


def test_turned_and_widened_by_hand():
    gap = Difference(0.1, 0.05, 0.2)
    assert better_by(gap, "max") == gap
    assert better_by(gap, "min") == Difference(-0.1, -0.2, -0.05)
    wide = widened(gap, 2)
    assert (wide.gap, wide.low, wide.high) == pytest.approx((0.1, 0.0, 0.3))


@pytest.mark.parametrize("draws", [300, 2000])
@pytest.mark.parametrize("candidates, others", [((3, 1, 7), (0, 2)), ((5,), (5,)), ((), (0,))])
def test_intervals_and_their_stretch_are_those_of_all_pairs(draws, candidates, others):
    """As by the definition: every pair by itself."""
    groups = [
        Group((make_record(i, 0.6 + 0.01 * i, 0.5, recipe=Recipe(parallel_size=i + 1)),))
        for i in range(8)
    ]
    found = joint(groups, NAMES, least=draws)
    most = np.zeros(draws)
    for k, name in enumerate(NAMES):
        for i, j in itertools.product(candidates, others):
            apart = found.errors[:, i, k] - found.errors[:, j, k]
            low, high = np.quantile(apart, [0.025, 0.975])
            low, high = min(0.0, low), max(0.0, high)
            gap = found.difference(i, j, name)
            assert (gap.low, gap.high) == pytest.approx((gap.gap + low, gap.gap + high))
            sides = np.where(apart < 0, low, high)
            share = np.divide(apart, sides, out=np.zeros_like(apart), where=sides != 0)
            most = np.maximum(most, share)
    expected = max(1.0, float(np.quantile(most, 0.95)))
    assert found.stretch(candidates, others) == pytest.approx(expected)


def test_the_draws_of_an_objective_do_not_depend_on_which_are_asked_for_beside_it():
    """So the answer, which needs the objectives, and `predict`, which needs abilities, agree."""
    one, both = (joint(groups_of(1, 3), names) for names in (NAMES[:1], NAMES))
    assert (one.errors[:, :, 0] == both.errors[:, :, 0]).all()
    assert abs(np.corrcoef(both.errors[:, 0].T)[0, 1]) < 0.1
