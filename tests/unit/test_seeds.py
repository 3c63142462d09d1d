"""Variance over seeds: pooled by hand, and draws that cover the truth however few were repeated."""

import numpy as np
import pytest
from scipy.stats import t

from mtray.analysis.seeds import SeedVariance, pooled_variance, seed_draws


def test_pooled_by_hand():
    # deviations -1, 1 and -1, 0, 1 in the first objective; squares 2 + 2 over 1 + 2
    groups = [[[1, 5], [3, 5]], [[10, 5], [11, 5], [12, 5]], [[7, 9]]]
    found = pooled_variance(groups)
    assert found.freedom == 3
    assert found.variance.tolist() == pytest.approx([4 / 3, 0])
    assert found.deviation.tolist() == pytest.approx([(4 / 3) ** 0.5, 0])


def test_groups_of_one_tell_nothing():
    found = pooled_variance([[[1.0]], [[2.0]]])
    assert (found.freedom, found.variance.tolist(), found.quantile(0.975).tolist()) == (0, [0], [0])
    assert not seed_draws(found, [1, 1], 5).any()


@pytest.mark.parametrize("groups", [[], [[1.0, 2.0]], [[[1.0]], [[1.0, 2.0]]]])
def test_other_shapes_are_errors(groups):
    with pytest.raises(ValueError, match="shape"):
        pooled_variance(groups)


def test_pooling_does_not_depend_on_where_the_groups_lie():
    groups = [np.random.default_rng(i).normal(size=(3, 2)) for i in range(4)]
    moved = [g + 10 * i for i, g in enumerate(groups)]
    assert pooled_variance(moved[::-1]).variance.tolist() == pytest.approx(
        pooled_variance(groups).variance.tolist()
    )


def test_the_variance_of_one_trial_is_found():
    rng = np.random.default_rng(0)
    groups = [rng.normal(i, 0.02, (2, 1)) for i in range(4000)]
    assert pooled_variance(groups).deviation[0] == pytest.approx(0.02, rel=0.03)


@pytest.mark.parametrize("freedom", [2, 5, 200])
def test_draws_are_students_t(freedom):
    spread = SeedVariance(np.array([0.01**2]), freedom)
    draws = seed_draws(spread, [1, 4, 0], 40_000)
    assert draws.shape == (40_000, 3, 1)
    for i, share in ((0, 1.0), (1, 0.5)):
        found = np.quantile(draws[:, i, 0], [0.025, 0.5, 0.975]) / (0.01 * share)
        wanted = t.ppf(0.975, freedom)
        assert found == pytest.approx([-wanted, 0, wanted], rel=0.06, abs=0.03)
    assert not draws[:, 2].any(), "the untouched model has no luck"
    assert spread.quantile(0.975)[0] == pytest.approx(0.01 * t.ppf(0.975, freedom))


@pytest.mark.parametrize("repeated", [1, 3, 12])
def test_intervals_from_few_replicates_cover_the_truth(repeated):
    """Recipes whose true values are known; each interval from the pooled variance alone."""
    rng, inside = np.random.default_rng(repeated), 0
    for _ in range(2000):
        groups = [rng.normal(0.5, 0.01, (2, 1)) for _ in range(repeated)]
        half = pooled_variance(groups).quantile(0.975)[0]
        inside += abs(rng.normal(0.5, 0.01) - 0.5) <= half
    assert inside / 2000 == pytest.approx(0.95, abs=0.015)
