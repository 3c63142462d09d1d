"""The Gaussian process against what can be worked out without it."""

import numpy as np
import pytest

from mtray.analysis.gaussian_process import _negative_log_likelihood, fit


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


def test_the_gradient_is_that_of_the_likelihood(seen):
    points, values = seen
    squares = (points[:, None] - points[None]) ** 2
    products = (points - 0.5) @ (points - 0.5).T
    theta = np.array([0.1, -0.2, 0.3, 0.5, 0.2, -0.3, -3.0])

    def at(theta):
        return _negative_log_likelihood(theta, squares, products, values)[0]

    steps = 1e-5 * np.eye(len(theta))
    numeric = [(at(theta + step) - at(theta - step)) / 2e-5 for step in steps]
    gradient = _negative_log_likelihood(theta, squares, products, values)[1]
    assert gradient == pytest.approx(numeric, rel=1e-4, abs=1e-5)


def test_a_point_more_is_as_if_it_had_been_there(seen):
    points, values = seen
    process = fit(points, values)
    new = np.full((1, 4), 0.9)
    more = process.with_points(new, np.array([5.0]))
    assert more.predict(new)[0] > process.predict(new)[0] + 0.5
    assert more.predict(new)[1] < process.predict(new)[1]
    expected = process.with_points(new, process.predict(new)[0])
    assert expected.predict(points)[0] == pytest.approx(process.predict(points)[0], abs=1e-8)


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
