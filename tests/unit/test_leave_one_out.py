"""Leave-one-out: each value from the others, with the errors that it shares with them."""

from dataclasses import replace

import numpy as np
import pytest

from mtray.analysis.leave_one_out import LeftOut, held_out, leave_one_out
from mtray.analysis.regression import constant_fit, linear_fit

POINTS = np.zeros((3, 1))


def constant(points, values, covariance):
    """One unknown mean; the others' errors say what they say of the new one's."""
    inverse = np.linalg.inv(covariance)
    weight = inverse.sum()
    mean = inverse.sum(axis=0) @ values / weight

    def predict(at, cross=None, own=None):
        cross = np.zeros((len(at), len(values))) if cross is None else cross
        gain = cross @ inverse
        left = 1 - gain.sum(axis=1)
        explained = (gain * cross).sum(axis=1)
        own = np.zeros(len(at)) if own is None else own
        return mean + gain @ (values - mean), own - explained + left**2 / weight

    return predict


def test_each_is_predicted_by_the_mean_of_the_others():
    """Independent errors of variance 1: the mean of two has variance 1/2, a new value 3/2."""
    found = leave_one_out(constant, POINTS, np.array([0.0, 3.0, 6.0]), np.eye(3))
    assert found.means == pytest.approx([4.5, 3.0, 1.5])
    assert found.deviations == pytest.approx([1.5**0.5] * 3)
    assert found.rmse == pytest.approx((2 * 4.5**2 / 3) ** 0.5)
    # 4.5 is 3.67 deviations off, 0 is none
    assert found.coverage == pytest.approx(1 / 3)
    at_mean = -0.5 * np.log(2 * np.pi * 1.5)
    assert found.log_densities == pytest.approx(
        [at_mean - 4.5**2 / 3, at_mean, at_mean - 4.5**2 / 3]
    )
    assert found.log_density == pytest.approx(at_mean - 2 * 4.5**2 / 9)


def test_an_error_that_all_share_is_no_surprise():
    """All values are off by the same normal error of variance 100, and by an own one of 1: what is
    asked for is the measured value, so the prediction is as sure as without the shared error."""
    values, shared = np.array([0.0, 3.0, 6.0]), np.eye(3) + 100
    found = leave_one_out(constant, POINTS, values, shared)
    alone = leave_one_out(constant, POINTS, values, np.eye(3))
    assert found.means == pytest.approx(alone.means)
    assert found.deviations == pytest.approx(alone.deviations)


def test_held_out_is_fitted_to_the_known_alone():
    known = np.array([True, True, False])
    found = held_out(constant, POINTS, np.array([0.0, 3.0, 6.0]), np.eye(3), known)
    assert (found.values, found.means) == (pytest.approx([6.0]), pytest.approx([1.5]))


def test_the_margin_is_paired():
    """Log densities apart by .5 and 1.5 in the second's disfavour: mean 1, standard error
    sqrt(.5) / sqrt(2)."""
    values = np.zeros(2)
    better = LeftOut(values, np.zeros(2), np.ones(2))
    worse = LeftOut(values, np.array([1.0, 3.0**0.5]), np.ones(2))
    assert better.margin(worse) == pytest.approx((1.0, 0.5))
    assert worse.margin(better) == pytest.approx((-1.0, 0.5))


@pytest.mark.parametrize(
    "points, values, covariance",
    [
        (np.zeros(3), np.zeros(3), np.eye(3)),
        (POINTS, np.zeros(2), np.eye(2)),
        (POINTS, np.zeros(3), np.eye(2)),
        (np.zeros((1, 1)), np.zeros(1), np.eye(1)),
    ],
)
def test_other_shapes_are_refused(points, values, covariance):
    with pytest.raises(ValueError, match="expected points"):
        leave_one_out(constant, points, values, covariance)


@pytest.mark.parametrize("fitted_by", [constant_fit, linear_fit])
def test_a_linear_form_leaves_all_out_by_one_inverse(fitted_by):
    """As fits without each point that keep the scales and the misfit."""
    rng = np.random.default_rng(3)
    points, n = rng.random((9, 2)), 9
    values = points[:, 0] + 0.1 * rng.standard_normal(n)
    covariance = 0.01 * np.eye(n) + 0.02
    fitted = fitted_by(points, values, covariance)
    means, deviations = fitted.left_out()
    for i in range(n):
        rest = np.arange(n) != i
        noisy = covariance + fitted.misfit * np.eye(n)
        factor = np.linalg.cholesky(noisy[np.ix_(rest, rest)])
        slopes = np.linalg.solve(factor, fitted.form.slopes(fitted.theta, points[rest]))
        inverse = np.linalg.inv(slopes.T @ slopes + np.diag(fitted.form.deviation**-2))
        theta = inverse @ slopes.T @ np.linalg.solve(factor, values[rest])
        without = replace(
            fitted, points=points[rest], values=values[rest], theta=theta, factor=factor
        )
        mean, variance = without.predict(points[[i]], covariance[[i]][:, rest], covariance[[i], i])
        assert means[i] == pytest.approx(mean[0])
        assert deviations[i] == pytest.approx(variance[0] ** 0.5)


def test_a_coordinate_that_differs_in_the_left_out_point_alone_has_no_slope():
    """The logarithm of one number is not its own mean to the last digit; in units of that deviation
    the left-out point is 1e16 away."""
    sizes = np.log(np.array([2048.0] * 11 + [409.0]))
    points = np.column_stack([sizes, np.linspace(0, 1, 12)])
    assert 0 < points[:11, 0].std() < 1e-12
    values = 0.1 * points[:, 1]
    fit = lambda p, v, c: linear_fit(p, v, c).predict  # noqa: E731
    found = leave_one_out(fit, points, values, 1e-4 * np.eye(12))
    assert found.rmse < 0.02
    alone = linear_fit(points[:11, 1:], values[:11], 1e-4 * np.eye(11))
    assert found.means[11] == pytest.approx(alone.predict(points[11:, 1:])[0][0], abs=1e-6)
