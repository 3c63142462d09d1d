"""A process averaged over its scales and noise."""

import numpy as np
import pytest

from mtray.analysis.gaussian_process_fit import fit, scaled
from mtray.analysis.gaussian_process_mixture import (
    MOST,
    ProcessMixture,
    fit_mixture,
    posterior_draws,
)


def made(n, seed=0, error=0.1):
    rng = np.random.default_rng(seed)
    points = rng.random((n, 3))
    values = np.sin(4 * points[:, 0]) + points[:, 1] + error * rng.standard_normal(n)
    return points, values, error**2 * np.eye(n)


@pytest.fixture(scope="module")
def mixture():
    return fit_mixture(*made(14))


def test_moments_by_hand(mixture):
    """Of parts with means m and deviations s: the mean of m, and the mean of s^2 and the variance
    of m."""
    at = np.random.default_rng(1).random((4, 3))
    means, deviations = zip(*(part.predict(at) for part in mixture.parts), strict=True)
    mean, deviation = mixture.predict(at)
    assert mean == pytest.approx(np.mean(means, axis=0))
    assert deviation**2 == pytest.approx(np.square(deviations).mean(axis=0) + np.var(means, axis=0))
    joint, covariance = mixture.joint(at)
    assert joint == pytest.approx(mean)
    assert np.diag(covariance) == pytest.approx(deviation**2)


def test_draws_have_the_moments_of_the_mixture(mixture):
    at = np.random.default_rng(2).random((3, 3))
    found = mixture.draws(at, 24_000, np.random.default_rng(0))
    mean, covariance = mixture.joint(at)
    assert found.shape == (24_000, 3)
    assert found.mean(axis=0) == pytest.approx(mean, abs=0.02)
    assert np.cov(found.T) == pytest.approx(covariance, abs=0.02)


def test_the_draws_are_from_the_posterior():
    """A normal prior N(m, s^2) and a normal likelihood N(y, t^2) of each logarithm: mean
    (m / s^2 + y / t^2) / (1 / s^2 + 1 / t^2), variance 1 / (1 / s^2 + 1 / t^2)."""
    prior = scaled(*made(5))
    apart, own = 0.8, 0.5

    def log_likelihood(theta):
        return float(-0.5 * (((theta - prior.middle - apart) / own) ** 2).sum())

    found = np.array(posterior_draws(log_likelihood, prior, prior.middle, count=3000))
    weight = 1 / (1 / prior.deviation**2 + 1 / own**2)
    assert found.mean(axis=0) == pytest.approx(prior.middle + weight * apart / own**2, abs=0.05)
    assert found.var(axis=0) == pytest.approx(weight, rel=0.15)


def test_it_is_less_sure_than_the_most_likely_process():
    """Over 12 data sets of 10 values the intervals are wider in the mean, and cover more of the
    truth at points that are new."""
    new = np.random.default_rng(9).random((40, 3))
    true = np.sin(4 * new[:, 0]) + new[:, 1]
    wide, inside = [], []
    for seed in range(12):
        known = made(10, seed)
        one, mixed = fit(*known).predict(new), fit_mixture(*known).predict(new)
        wide.append((mixed[1] / one[1]).mean())
        inside.append([(abs(mean - true) < 1.96 * dev).mean() for mean, dev in (one, mixed)])
    assert np.mean(wide) > 1.05
    assert np.mean(inside, axis=0)[1] > np.mean(inside, axis=0)[0]


def test_values_left_out_are_predicted_by_each_part(mixture):
    means, _ = zip(*(part.left_out() for part in mixture.parts), strict=True)
    assert mixture.left_out()[0] == pytest.approx(np.mean(means, axis=0))


def test_of_many_values_only_the_most_likely_scales_are_taken():
    few, many = fit_mixture(*made(MOST)), fit_mixture(*made(MOST + 1))
    assert (len(few.parts), len(many.parts)) == (12, 1)
    assert many.predict(few.points[:2])[0] == pytest.approx(
        fit(*made(MOST + 1)).predict(few.points[:2])[0]
    )


def test_it_is_the_same_again(mixture):
    again = fit_mixture(*made(14))
    assert isinstance(again, ProcessMixture)
    assert again.predict(mixture.points)[0].tolist() == mixture.predict(mixture.points)[0].tolist()
