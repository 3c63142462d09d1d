"""The Gaussian process against what can be worked out without it."""

import numpy as np
import pytest

from mtray.analysis.gaussian_process import conditioned
from mtray.analysis.gaussian_process_fit import LengthScales, _negative_log_likelihood, fit


def values_at(x):
    return np.sin(3 * x[:, 0]) + x[:, 1] ** 2


@pytest.fixture(scope="module")
def seen():
    rng = np.random.default_rng(0)
    points = rng.random((60, 4))
    return points, values_at(points) + 0.05 * rng.standard_normal(60)


def test_it_finds_the_function_its_noise_and_how_sure_it_is(seen):
    points, values = seen
    process = fit(points, 100 + 7 * values)
    new = np.random.default_rng(1).random((400, 4))
    mean, deviation = process.predict(new)
    off = np.abs(mean - (100 + 7 * values_at(new)))
    assert off.mean() < 7 * 0.05
    assert (off < 2 * deviation).mean() > 0.85
    assert process.noise**0.5 * process.unit == pytest.approx(7 * 0.05, rel=0.4)
    assert process.scales[:2].max() < process.scales[2:].min(), "the last two say nothing"


@pytest.mark.parametrize("known", [0.0, 0.4])
def test_the_gradient_is_that_of_the_likelihood(seen, known):
    points, values = seen
    errors = known * (np.eye(len(points)) + 0.5)
    squares = (points[:, None] - points[None]) ** 2
    products = (points - 0.5) @ (points - 0.5).T
    theta = np.array([0.1, -0.2, 0.3, 0.5, 0.2, -0.3, -3.0])

    def at(theta):
        return _negative_log_likelihood(theta, squares, products, values, errors)[0]

    steps = 1e-5 * np.eye(len(theta))
    numeric = [(at(theta + step) - at(theta - step)) / 2e-5 for step in steps]
    gradient = _negative_log_likelihood(theta, squares, products, values, errors)[1]
    assert gradient == pytest.approx(numeric, rel=1e-4, abs=1e-5)


def test_a_value_weighs_by_its_known_error():
    """Two values at one point, with variances 1 and 3 and nothing to tell them from others: the
    weighted mean (3 * 0 + 1 * 4) / 4 = 1, of variance 1 / (1 + 1/3) = 3/4, as the mean is next to
    unknown."""
    points = np.full((2, 1), 0.5)
    process = fit(points, [0.0, 4.0], np.diag([1.0, 3.0]))
    mean, deviation = process.predict(points[:1])
    assert mean[0] == pytest.approx(1.0, abs=0.05)
    assert deviation[0] == pytest.approx(0.75**0.5, rel=0.1)


def test_an_error_that_all_share_moves_all_and_no_difference(seen):
    points, values = seen
    own = 0.05**2 * np.eye(len(points))
    alone, shared = fit(points, values, own), fit(points, values, own + 0.3**2)
    new = np.random.default_rng(4).random((3, 4))
    (one, alone_cov), (other, shared_cov) = alone.joint(new), shared.joint(new)
    assert other == pytest.approx(one, abs=1e-3)
    assert shared_cov[0, 0] - alone_cov[0, 0] == pytest.approx(0.3**2, rel=0.1)
    between = np.array([1.0, -1.0, 0.0])
    assert between @ shared_cov @ between == pytest.approx(between @ alone_cov @ between, rel=0.02)


def test_joint_values_are_those_of_each_point(seen):
    process = fit(*seen)
    new = np.random.default_rng(3).random((5, 4))
    mean, covariance = process.joint(new)
    assert mean == pytest.approx(process.predict(new)[0])
    assert np.sqrt(np.diag(covariance)) == pytest.approx(process.predict(new)[1])


def test_a_value_left_out_is_predicted_by_the_others(seen):
    points, values = seen
    errors = np.diag(np.linspace(0.01, 0.1, len(points)) ** 2)
    process = fit(points, values, errors)
    means, deviations = process.left_out()
    rest = np.arange(len(points)) != 7
    theta = np.log([*process.scales, process.signal, process.slope, process.noise])
    scaled = (values - process.shift) / process.unit
    known = errors[np.ix_(rest, rest)] / process.unit**2
    without = conditioned(
        points[rest], scaled[rest], (process.shift, process.unit), theta, known, process.offset
    )
    mean, deviation = without.predict(points[[7]])
    assert means[7] == pytest.approx(mean[0], abs=1e-6)
    noise = process.unit**2 * process.noise + errors[7, 7]
    assert deviations[7] ** 2 == pytest.approx(deviation[0] ** 2 + noise, rel=1e-4)


def test_a_point_more_is_as_if_it_had_been_there(seen):
    points, values = seen
    process = fit(points, values)
    new = np.full((1, 4), 0.9)
    more = process.with_points(new, np.array([5.0]))
    assert more.predict(new)[0] > process.predict(new)[0] + 0.5
    assert more.predict(new)[1] < process.predict(new)[1]
    expected = process.with_points(new, process.predict(new)[0])
    assert expected.predict(points)[0] == pytest.approx(process.predict(points)[0], abs=1e-8)


def test_a_point_more_keeps_the_errors_of_those_before(seen):
    points, values = seen
    process = fit(points, values, 0.05**2 * np.eye(len(points)))
    new = np.full((1, 4), 0.9)
    expected = process.with_points(new, process.predict(new)[0])
    assert expected.predict(points)[0] == pytest.approx(process.predict(points)[0], abs=1e-6)


@pytest.mark.parametrize(
    "points, values, message",
    [
        ([[0.1], [0.2]], [1.0], "n values"),
        (np.zeros((0, 2)), [], "expected points"),
        ([[0.1], [np.nan]], [1.0, 2.0], "not finite"),
    ],
)
def test_what_cannot_be_fitted_is_refused(points, values, message):
    with pytest.raises(ValueError, match=message):
        fit(points, values)


def test_values_that_are_all_the_same_are_predicted_everywhere():
    process = fit([[0.1], [0.5], [0.9]], [2.0, 2.0, 2.0])
    assert process.predict(np.array([[0.3]]))[0] == pytest.approx(2.0)


@pytest.mark.parametrize(
    "values, error, unit",
    [
        pytest.param([0.1] * 9, 0.01, 0.01, id="the same but for rounding: their errors"),
        pytest.param([1e-12, *[0.0] * 8], 0.01, 0.01, id="next to their errors"),
        pytest.param([0.1] * 9, 0.0, 1e-10, id="no errors: nothing is unsure"),
        pytest.param([0.0] * 9, 0.0, 1e-9, id="nor where all are 0"),
    ],
)
def test_the_unit_of_values_that_hardly_differ(values, error, unit):
    points = np.random.default_rng(0).random((9, 2))
    found = fit(points, values, error**2 * np.eye(9))
    assert found.unit == pytest.approx(unit)
    mean, deviation = found.predict(np.array([[0.5, 0.5]]))
    assert mean[0] == pytest.approx(np.mean(values), abs=max(0.02, error))
    assert deviation[0] <= max(10 * error, 1e-9)


def test_many_points_are_fitted_in_part_and_all_known():
    """At three times as many as scales are fitted to, each is predicted near its own value."""
    points = np.random.default_rng(0).random((900, 1))
    values = points[:, 0] ** 2
    found = fit(points, values, 1e-8 * np.eye(900))
    assert len(found.points) == 900
    assert found.predict(points[1::7])[0] == pytest.approx(values[1::7], abs=1e-3)


def test_with_shorter_length_scales_more_is_unknown_far_from_the_points(seen):
    points, values = seen
    near, far = points[:1] * 0.98, np.full((1, 4), 3.0)
    long = fit(points[:12], values[:12], linear=False)
    short = fit(points[:12], values[:12], linear=False, scales=[LengthScales(at_one=100)] * 4)
    assert (short.scales < long.scales).all()
    assert short.predict(near)[1] < short.predict(far)[1]
    assert long.predict(near)[1][0] < short.predict(near)[1][0]


@pytest.mark.parametrize(
    ("coordinates", "at_one", "median"), [(5, 5, 1.0), (20, 5, 2.0), (1, 25, 0.2), (0, 4, 0.5)]
)
def test_the_median_length_scale_grows_with_the_root_of_the_coordinates(
    coordinates, at_one, median
):
    assert LengthScales(at_one).middle(coordinates) == pytest.approx(np.log(median))
