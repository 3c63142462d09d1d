"""Intervals from segment statistics: by hand, and that they cover as often as they say."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mtray.analysis.uncertainty import (
    Measurement,
    bounded_score,
    difference,
    drawn,
    mean_measurement,
    mean_of,
    replicate_values,
    score,
    share_measurement,
    small_sample,
    unit_weights,
    wilson,
)
from mtray.errors import EvaluationError, ValueNotFinite


def test_weights_belong_to_units():
    keys = np.array([5, 7, 9])
    weights = unit_weights(keys, 4000, 1)
    assert weights.shape == (4000, 3)
    assert weights.mean() == pytest.approx(1, abs=0.03) and weights.var() == pytest.approx(
        1, abs=0.1
    )
    np.testing.assert_array_equal(unit_weights(keys[::-1].copy(), 4000, 1), weights[:, ::-1])
    np.testing.assert_array_equal(unit_weights(keys[1:], 4000, 1), weights[:, 1:])
    assert abs(np.corrcoef(weights.T)[0, 1]) < 0.05
    assert not np.array_equal(unit_weights(keys, 4000, 2), weights)


def test_stretch_by_hand():
    # t(0.975, 9) = 2.2622; sqrt(11 / 9) = 1.1055
    assert small_sample(10) == pytest.approx(1.1055 * 2.2622 / 1.95996, rel=1e-4)
    assert small_sample(100_000) == pytest.approx(1, abs=1e-4)
    assert small_sample(1) == 1


def test_draws_spread_as_the_standard_error_says():
    values = np.random.default_rng(0).normal(0.5, 0.2, 300)
    draws = replicate_values(mean_measurement(values, "x"), 20_000, 0)
    t_ratio = 1.96793 / 1.95996
    assert draws.std() == pytest.approx(values.std(ddof=1) / math.sqrt(300) * t_ratio, rel=0.02)


def test_units_of_a_measurement():
    measured = mean_measurement([1.0, 2.0, 6.0], "x", np.array([4, 9, 4]))
    units, stats = measured.by_unit()
    assert units.tolist() == [4, 9] and stats.tolist() == [[7, 2], [2, 1]]
    assert (measured.n, measured.point) == (2, 3.0)


@pytest.mark.parametrize("n", [8, 20, 150])
def test_intervals_of_means_cover_the_truth(n):
    rng, inside = np.random.default_rng(n), 0
    for i in range(600):
        found = score(mean_measurement(rng.normal(0.5, 0.2, n), "x"), 500, i)
        inside += found.low <= 0.5 <= found.high
    assert inside / 600 == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize("share, per_unit", [(0.003, 1), (0.05, 1), (0.5, 1), (0.97, 1), (0.3, 4)])
def test_intervals_of_shares_cover_the_truth_and_stay_within_0_and_1(share, per_unit):
    """Averaged over nearby truths, since that of a count jumps; four of a unit are alike."""
    rng, inside = np.random.default_rng(1), 0
    for i in range(600):
        truth = (
            share * rng.uniform(0.7, 1.3)
            if share < 0.7
            else 1 - (1 - share) * rng.uniform(0.7, 1.3)
        )
        flags = np.repeat(rng.random(400 // per_unit) < truth, per_unit)
        keys = np.repeat(np.arange(400 // per_unit), per_unit)
        found = score(share_measurement(flags, "x", keys), 300, i)
        assert 0 <= found.low <= found.value <= found.high <= 1
        assert found.low < found.high
        inside += found.low <= truth <= found.high
    assert inside / 600 == pytest.approx(0.955, abs=0.025)


def test_wilson_by_hand():
    # 0 of 400: z^2 / (n + z^2) = 3.8415 / 403.8415
    assert wilson(0.0, 400) == pytest.approx((0.0, 0.009512), abs=1e-6)
    low, high = wilson(0.5, 100)
    assert (low, high) == pytest.approx((0.40383, 0.59617), abs=1e-5)


BOUNDS = {
    "a share": ((-0.0078, 0.02), (0.0, 1.0), (0.0, 0.02)),
    "an accuracy": ((0.93, 1.0134), (0.0, 1.0), (0.93, 1.0)),
    "chrF": ((-1.0, 104.0), (0.0, 100.0), (0.0, 100.0)),
    "no bound": ((-3.0, 3.0), (-math.inf, math.inf), (-3.0, 3.0)),
    "holds its value": ((0.05, 0.06), (0.0, 1.0), (0.01, 0.06)),
}


@pytest.mark.parametrize("ends, bounds, expected", BOUNDS.values(), ids=BOUNDS)
def test_no_interval_leaves_what_is_possible(ends, bounds, expected):
    found = bounded_score(0.01 if expected[0] <= 0.01 else expected[0], ends, 9, "x", bounds)
    assert (found.low, found.high) == expected
    assert (found.least, found.most) == tuple(b if math.isfinite(b) else None for b in bounds)


def two_directions(correlation, n=400, seed=0, same=True):
    rng = np.random.default_rng(seed)
    common, own = rng.normal(size=n), rng.normal(size=(2, n))
    values = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own
    keys = [np.arange(n), np.arange(n) if same else np.arange(n) + n]
    return [mean_measurement(v, "x", k) for v, k in zip(values, keys, strict=True)]


def test_the_mean_of_directions_on_the_same_sentences_covers_the_truth():
    inside = {True: 0, False: 0}
    for i in range(500):
        for same in inside:
            found = mean_of(two_directions(0.8, 200, i, same), 400, i).score
            inside[same] += found.low <= 0 <= found.high
    assert inside[True] / 500 == pytest.approx(0.95, abs=0.025)
    assert inside[False] / 500 < 0.9, "taken as separate, they would not"


def test_the_mean_of_separate_directions_is_surer_by_the_root_of_two():
    values = np.random.default_rng(0).normal(size=400)
    one, two = mean_measurement(values, "a"), mean_measurement(values, "b")
    single, joined = mean_of([one], 2000, 0).score, mean_of([one, two], 2000, 0).score
    ratio = (single.high - single.low) / (joined.high - joined.low)
    assert ratio == pytest.approx(math.sqrt(2), rel=0.1)
    assert (single.n, joined.n) == (400, 800)


def test_a_difference_is_paired():
    rng = np.random.default_rng(0)
    hard, own = rng.normal(0, 1, 300), rng.normal(0, 0.01, 300)
    a, b = mean_measurement(hard + own + 0.1, "x"), mean_measurement(hard, "x")
    found = difference(a, b)
    assert found.value == pytest.approx(0.1, abs=0.005)
    assert found.high - found.low < 0.005
    assert drawn(a, 200, 0).score.high - drawn(a, 200, 0).score.low > 0.1


def test_what_cannot_be_measured_is_an_error():
    with pytest.raises(EvaluationError, match="no segments"):
        Measurement(np.zeros((0, 1)), lambda s: s[..., 0], "x")
    with pytest.raises(ValueNotFinite, match="not finite"):
        mean_measurement([1.0, math.nan], "x")
    undefined = Measurement(np.zeros((3, 2)), lambda s: s[..., 0] / s[..., 1], "x")
    with np.errstate(invalid="ignore"), pytest.raises(ValueNotFinite, match="nan"):
        _ = undefined.point


@pytest.mark.parametrize(
    ("parts", "whole"),
    [((None, None), None), ((2, None), 2), ((0, 0), 0), ((2, 3), 5)],
)
def test_truncated_segments_are_counted_over_all_parts(parts, whole):
    found = [
        replace(mean_measurement([0.1, 0.5, 0.9], "comet"), truncated=truncated)
        for truncated in parts
    ]
    assert [drawn(part, 100, 0).score.truncated for part in found] == list(parts)
    assert mean_of(found, 100, 0).score.truncated == whole
