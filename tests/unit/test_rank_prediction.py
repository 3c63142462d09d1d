"""How well one number predicts another, by hand."""

import numpy as np
import pytest

from mtray.analysis.rank_prediction import (
    centred_interval,
    left_out_errors,
    rank_correlation,
    ranks,
    unit_draws,
)
from mtray.analysis.uncertainty import Z95, small_sample


def test_equal_values_have_their_mean_rank():
    assert ranks([[3, 1, 3, 9], [0, 0, 0, -1]]).tolist() == [[2.5, 1, 2.5, 4], [3, 3, 3, 1]]


@pytest.mark.parametrize(
    "x, y, expected",
    [
        ([1, 2, 3], [10, 1000, 1001], 1.0),
        ([1, 2, 3], [3, 0, -9], -1.0),
        ([1, 2, 2, 4], [10, 30, 20, 40], 4.5 / (4.5 * 5) ** 0.5),  # ranks 1 2.5 2.5 4 and 1 3 2 4
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8),  # 1 - 6 * 4 / (5 * 24)
        ([1, 2, 3], [7, 7, 7], 0.0),
    ],
)
def test_rank_correlations_by_hand(x, y, expected):
    assert rank_correlation(x, y) == pytest.approx(expected)
    assert rank_correlation(np.exp(x), y) == pytest.approx(expected), "only the order counts"


def test_a_weight_is_so_many_points():
    x, y = np.array([1, 2, 3, 4]), np.array([2, 1, 4, 3])
    weights = np.array([[1.0, 1, 1, 1], [1e-12, 1e-12, 1, 1]])
    assert rank_correlation(x, y, weights) == pytest.approx([0.6, -1.0])


@pytest.mark.parametrize(
    "x, expected",
    [
        (None, [1 - 4, 2 - 3.5, 6 - 1.5]),
        ([1, 2, 3], [1 + 2, 2 - 3.5, 6 - 3]),  # lines through the two others
        ([1, 9, 9000], [1 + 2, 2 - 3.5, 6 - 3]),
        ([0, 0, 5], [1 - 2, 2 - 1, 6 - 1.5]),  # the last: both others have one x
        ([7, 7, 7], [1 - 4, 2 - 3.5, 6 - 1.5]),
    ],
)
def test_left_out_errors_by_hand(x, expected):
    assert left_out_errors([1, 2, 6], x) == pytest.approx(expected)
    assert left_out_errors([[1, 2, 6], [2, 4, 12]], x)[1] == pytest.approx(2 * np.array(expected))


def test_left_out_errors_are_those_of_fits_without_the_point():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=9), rng.normal(size=9)
    for place, error in enumerate(left_out_errors(y, x)):
        rest = np.arange(9) != place
        slope, level = np.polyfit(ranks(x)[rest], y[rest], 1)
        assert error == pytest.approx(y[place] - level - slope * ranks(x)[place])


def test_two_points_are_too_few_to_leave_one_out():
    with pytest.raises(ValueError, match="3 points or more, found 2"):
        left_out_errors([1, 2])


def test_points_of_one_unit_are_drawn_together():
    found = unit_draws(np.array([7, 3, 7]), 4000)
    assert found.shape == (4000, 3) and (found[:, 0] == found[:, 2]).all()
    assert found[:, 0].mean() == pytest.approx(1, abs=0.05) == found[:, 1].mean()
    assert abs(np.corrcoef(found[:, 0], found[:, 1])[0, 1]) < 0.05


def test_an_interval_is_about_the_value_wherever_the_draws_are():
    draws = np.random.default_rng(0).normal(5, 2, 200_000)
    low, high = centred_interval(0.3, draws, 10)
    half = Z95 * 2 * small_sample(10)
    assert (low, high) == pytest.approx((0.3 - half, 0.3 + half), rel=0.02)
