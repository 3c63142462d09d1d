"""Errors that values share, and what is fitted under them."""

import numpy as np
import pytest

from mtray.analysis.gaussian_process_fit import fit
from mtray.analysis.laws import law, loss_shape
from mtray.analysis.shared_errors import MOST, own_errors


def test_own_errors_by_hand():
    """Variances 1, 4 and 9, correlations .5, .2 and -.1: .2 in the mean, so .8 is each one's."""
    deviations = np.array([1.0, 2.0, 3.0])
    alike = np.array([[1, 0.5, 0.2], [0.5, 1, -0.1], [0.2, -0.1, 1]])
    found = own_errors(alike * np.outer(deviations, deviations))
    assert found == pytest.approx(np.diag([0.8, 3.2, 7.2]))


@pytest.mark.parametrize(
    "covariance, own",
    [
        ([[4.0]], [4.0]),
        (np.zeros((2, 2)), [0, 0]),
        ([[0.0, 0.0], [0.0, 4.0]], [0.0, 4.0]),
        (np.ones((3, 3)), [1 - MOST] * 3),
        ([[1, -0.5], [-0.5, 1]], [1, 1]),
    ],
)
def test_own_errors_at_the_edges(covariance, own):
    assert np.diag(own_errors(np.array(covariance, dtype=float))) == pytest.approx(own)


def losing(seed):
    """Recipes (n, 5) of a loss that no power law is, each with an error that grows with it and that
    all have in common, none of which came to pass, and a small one of its own."""
    rng = np.random.default_rng(seed)
    sizes, rates = np.exp(rng.uniform(5, 8.3, 80)), np.exp(rng.uniform(-9, -6.2, 80))
    points = np.column_stack([sizes, rates, np.zeros((80, 3))])
    true = -0.03 * (sizes / 700) ** 0.3 * (rates / 4e-4) * (1 + 2 * (rates > 1e-3))
    own = 0.004 * rng.standard_normal(80)
    draws = rng.standard_normal((1000, 1)) * 0.3 * true + 0.004 * rng.standard_normal((1000, 80))
    return points, true, true + own, draws


@pytest.mark.parametrize("seed", range(3))
def test_an_effect_is_not_taken_for_an_error_that_all_share(seed):
    """Peelle's pertinent puzzle: with the whole covariance as weights, the law leaves out most of
    the loss."""
    points, true, values, draws = losing(seed)
    found = law(loss_shape, points, values, draws)
    assert found.gaps(points).mean() == pytest.approx(true.mean(), rel=0.15)
    spread = found.drawn_gaps(points).mean(axis=1)
    assert spread.std() == pytest.approx(-0.3 * true.mean(), rel=0.25), "but it counts as error"


@pytest.mark.parametrize("seed", range(3))
def test_nor_does_the_surface_take_it_for_one(seed):
    points, true, values, draws = losing(seed)
    logs = np.log(points[:, :2])
    at = (logs - logs.min(axis=0)) / np.ptp(logs, axis=0)
    process = fit(at, values, np.cov(draws.T))
    mean, covariance = process.joint(at)
    assert mean.mean() == pytest.approx(true.mean(), rel=0.1)
    assert covariance.mean() ** 0.5 == pytest.approx(-0.3 * true.mean(), rel=0.2)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9
    assert np.sqrt(np.diag(covariance)) == pytest.approx(process.predict(at)[1])
