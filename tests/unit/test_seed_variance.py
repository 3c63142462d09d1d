"""Variance over seeds: pooled by hand, the prior, and draws that are as wide as they should be."""

import numpy as np
import pytest
from scipy.stats import t

from mtray.analysis.seed_variance import (
    PRIOR_FREEDOM,
    PRIOR_RATIO,
    RepeatedTraining,
    SeedVariance,
    pooled_variance,
    seed_draws,
    with_prior,
)


def repeated(values, draws=None, alpha=1.0):
    return RepeatedTraining(np.array(values, dtype=float), draws, alpha)


def variance(deviation, freedom, within=0.0):
    return SeedVariance(np.array([deviation**2]), np.array([within]), freedom, int(freedom))


def test_pooled_by_hand():
    # deviations -1, 1 and -1, 0, 1 in the first objective; squares 2 + 2 over 1 + 2
    groups = [[[1, 5], [3, 5]], [[10, 5], [11, 5], [12, 5]], [[7, 9]]]
    found = pooled_variance([[repeated(g)] for g in groups])
    assert (found.freedom, found.repeats) == (3, 3)
    assert found.variance.tolist() == pytest.approx([4 / 3, 0])
    assert found.deviation.tolist() == pytest.approx([(4 / 3) ** 0.5, 0])


def test_recipes_that_share_their_trainings_count_once():
    """One training at alpha 1 and, half as far from the base model, at alpha 0.5."""
    whole, half = repeated([[1.0], [3.0]]), repeated([[1.0], [2.0]], alpha=0.5)
    found = pooled_variance([[whole, half]])
    assert found.repeats == 1
    assert found.variance.tolist() == pytest.approx([2.0]), "0.5 / 0.5^2 = 2, as at alpha 1"
    assert pooled_variance([[whole], [whole]]).repeats == 2


def test_what_the_bootstrap_has_of_it_by_hand():
    # draws of two trainings: deviations from their mean are -+0.1, +-0.1: variance 0.01 each
    draws = np.array([[[0.9], [1.1]], [[1.1], [0.9]]])
    found = pooled_variance([[repeated([[1.0], [1.4]], draws)]])
    assert found.variance.tolist() == pytest.approx([0.08])
    assert found.within.tolist() == pytest.approx([0.02])
    assert found.deviation.tolist() == pytest.approx([0.06**0.5])
    common = draws + np.array([0.5, -0.5])[:, None, None]
    assert pooled_variance([[repeated([[1.0], [1.4]], common)]]).within == pytest.approx(0.02)


def test_the_prior_by_hand():
    found = with_prior(variance(0.02, 3), [0.01])
    centre = (PRIOR_RATIO * 0.01) ** 2
    expected = (PRIOR_FREEDOM * centre + 3 * 0.02**2) / (PRIOR_FREEDOM + 3)
    assert found.variance.tolist() == pytest.approx([expected])
    assert (found.freedom, found.repeats) == (PRIOR_FREEDOM + 3, 3)
    alone = with_prior(pooled_variance([[repeated([[1.0]])]]), [0.01])
    assert alone.variance.tolist() == pytest.approx([centre])
    assert (alone.freedom, alone.repeats) == (PRIOR_FREEDOM, 0)


@pytest.mark.parametrize("repeats", [0, 1, 5])
def test_a_cost_keeps_the_variance_that_was_observed(repeats):
    """Its standard error over segments is 0."""
    found = with_prior(variance(3.0 if repeats else 0.0, repeats), [0.0])
    assert found.variance.tolist() == pytest.approx([9.0 if repeats else 0.0])
    wide = t.ppf(0.975, PRIOR_FREEDOM + repeats) * (3.0 if repeats else 0.0)
    assert found.half_width().tolist() == pytest.approx([wide], rel=1e-3)


@pytest.mark.parametrize("families", [[], [[]], [[[1.0, 2.0]]], [[[[1.0]], [[1.0, 2.0]]]]])
def test_other_shapes_are_errors(families):
    with pytest.raises(ValueError, match="shape"):
        pooled_variance([[repeated(g) for g in family] for family in families])


def test_pooling_does_not_depend_on_where_the_groups_lie():
    groups = [np.random.default_rng(i).normal(size=(3, 2)) for i in range(4)]
    moved = [[repeated(g + 10 * i)] for i, g in enumerate(groups)]
    plain = pooled_variance([[repeated(g)] for g in groups])
    assert pooled_variance(moved[::-1]).variance == pytest.approx(plain.variance)


def test_the_variance_of_one_trial_is_found():
    rng = np.random.default_rng(0)
    groups = [[repeated(rng.normal(i, 0.02, (2, 1)))] for i in range(4000)]
    assert pooled_variance(groups).deviation[0] == pytest.approx(0.02, rel=0.03)


@pytest.mark.parametrize("freedom", [2, 5, 200])
def test_draws_are_students_t(freedom):
    spread = variance(0.01, freedom)
    draws = seed_draws(spread, [[1, 0, 0], [0, 0.5, 0.5], [0, 0, 0]], 40_000)
    assert draws.shape == (40_000, 3, 1)
    for i, share in ((0, 1.0), (1, 0.5**0.5)):
        found = np.quantile(draws[:, i, 0], [0.025, 0.5, 0.975]) / (0.01 * share)
        wanted = t.ppf(0.975, freedom)
        assert found == pytest.approx([-wanted, 0, wanted], rel=0.06, abs=0.04)
    assert not draws[:, 2].any(), "the untouched model has no seed"
    assert spread.half_width()[0] == pytest.approx(0.01 * t.ppf(0.975, freedom))


def test_points_that_share_a_training_share_its_error():
    draws = seed_draws(variance(0.01, 10), [[1, 0], [0.5, 0], [0, 1]], 20_000)[:, :, 0]
    np.testing.assert_allclose(draws[:, 1], draws[:, 0] / 2)
    assert abs(np.corrcoef(draws[:, 0], draws[:, 2])[0, 1]) < 0.05


def test_what_the_bootstrap_holds_is_not_added_again():
    spread = variance(0.01, 10_000, within=0.006**2)
    assert seed_draws(spread, [[1.0]], 40_000).std() == pytest.approx(0.008, rel=0.03)
    assert spread.half_width()[0] == pytest.approx(1.96 * 0.008, rel=0.01)


@pytest.mark.parametrize("luck", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("repeats", [0, 3])
def test_intervals_with_the_prior_cover_the_truth(repeats, luck):
    """A trial's error is half of the segments, half of the seed; with seeds that vary half, as and
    twice as much as the prior says."""
    rng, inside, error = np.random.default_rng(repeats), 0, 0.01
    for _ in range(2000):
        groups = [rng.normal(0, luck * error, (2, 1)) for _ in range(repeats)] or [np.zeros((1, 1))]
        spread = with_prior(pooled_variance([[repeated(g)] for g in groups]), [error / PRIOR_RATIO])
        half = np.hypot(1.96 * error, spread.half_width()[0])
        inside += abs(rng.normal(0, error * np.hypot(1, luck))) <= half
    low = 0.85 if luck == 2 else 0.93  # a prior that is half of the truth costs coverage
    assert low < inside / 2000 < 0.999
