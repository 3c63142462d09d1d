"""What is computed in a shorter way for many trials is the same as in the long way."""

import numpy as np
import pytest
from scipy.linalg import cholesky

from mtray.analysis import gaussian_process
from mtray.analysis.gaussian_process import drawn
from mtray.analysis.gaussian_process_fit import fit
from mtray.analysis.pareto import FEW, front_probability, non_dominated
from mtray.analysis.regression import linear_fit
from mtray.analysis.seed_variance import SeedVariance, seed_draws
from mtray.analysis.triangular import diagonal_of, factored, inverse_with, solved, turned

RNG = np.random.default_rng(3)
N = FEW + 16


@pytest.mark.parametrize("ties", [False, True])
def test_chances_on_a_plane_are_those_of_each_draw(ties):
    draws = RNG.standard_normal((60, N, 2))
    draws = draws.round(1) if ties else draws
    expected = np.mean([non_dominated(draw) for draw in draws], axis=0)
    assert (front_probability(draws) == expected).all() and 0 < expected.max() < 1.01


def test_a_draw_that_is_not_finite_is_refused():
    draws = RNG.standard_normal((3, N, 2))
    draws[1, 2, 0] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        front_probability(draws)


def test_a_diagonal_factor_does_what_the_whole_one_does():
    covariance = np.diag(RNG.uniform(0.5, 2, 7))
    right, columns = RNG.standard_normal((7, 3)), RNG.standard_normal((7, 2))
    short, whole = factored(covariance, 0.1), cholesky(covariance + 0.1 * np.eye(7), lower=True)
    assert short.shape == (7,) and diagonal_of(covariance + 0.1) is None
    for make in (solved, turned):
        assert make(short, right) == pytest.approx(make(whole, right))
    expected = np.linalg.inv(covariance + 0.1 * np.eye(7) + columns @ columns.T)
    for factor in (short, whole):
        diagonal, middle = inverse_with(factor, columns)
        assert diagonal == pytest.approx(np.diag(expected))
        assert turned(factor, np.eye(7)) - middle @ middle.T == pytest.approx(expected)
    with pytest.raises(np.linalg.LinAlgError):
        factored(np.diag([1.0, -1.0]), 0.0)


def test_a_fit_with_errors_of_their_own_is_that_with_nearly_none_shared():
    points = RNG.uniform(size=(30, 3))
    values = points @ [1.0, -0.5, 0.2] + 0.05 * RNG.standard_normal(30)
    own = np.diag(RNG.uniform(0.001, 0.004, 30))
    shared = own.copy()
    shared[0, 1] = shared[1, 0] = 1e-15  # the long way
    short, long = linear_fit(points, values, own), linear_fit(points, values, shared)
    assert short.factor.ndim == 1 and long.factor.ndim == 2
    assert short.theta == pytest.approx(long.theta, abs=1e-9)
    assert short.misfit == pytest.approx(long.misfit, rel=1e-4)
    for one, other in zip(short.left_out(), long.left_out(), strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    for one, other in zip(short.predict(points[:4]), long.predict(points[:4]), strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_draws_of_many_points_have_the_same_covariance(monkeypatch):
    covariance = np.cov(RNG.standard_normal((4, 50)))
    covariance = np.block([[covariance, covariance], [covariance, covariance]])  # singular
    monkeypatch.setattr(gaussian_process, "MANY", 5)
    found = drawn(np.arange(8.0), covariance, 40_000, np.random.default_rng(1))
    assert found.mean(axis=0) == pytest.approx(np.arange(8.0), abs=0.03)
    assert np.cov(found.T) == pytest.approx(covariance, abs=0.05)
    assert found[:, :4] - np.arange(4) == pytest.approx(found[:, 4:] - np.arange(4, 8), abs=1e-6)


def test_means_alone_are_those_of_predictions():
    points = RNG.uniform(size=(20, 2))
    process = fit(points, points.sum(axis=1), 0.01 * np.eye(20))
    assert (process.means(points[:5]) == process.predict(points[:5])[0]).all()


def test_errors_over_seeds_are_sums_over_trainings():
    spread = SeedVariance(np.array([1.0, 4.0]), np.zeros(2), 5.0, 1)
    shares = np.zeros((5, 4))
    shares[1, 0], shares[2, [1, 2]], shares[3, [0, 3]] = 1.0, 0.5, (0.3, 0.7)
    found = seed_draws(spread, shares, 50)
    alone = seed_draws(spread, np.eye(4), 50)
    assert found == pytest.approx(np.einsum("pt,dtm->dpm", shares, alone))
