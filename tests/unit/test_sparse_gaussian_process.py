"""The sparse process: with every point an inducing one it is the process itself."""

import numpy as np
import pytest

from mtray.analysis.gaussian_process_fit import fit
from mtray.analysis.sparse_gaussian_process import farthest_first, fit_sparse

RNG = np.random.default_rng(5)
POINTS = RNG.random((60, 3))
VALUES = np.sin(3 * POINTS[:, 0]) + POINTS[:, 1] ** 2 + 0.05 * RNG.standard_normal(60)
AT = RNG.random((40, 3))


@pytest.mark.parametrize("linear", [True, False])
def test_with_every_point_it_is_the_process_itself(linear):
    whole = fit(POINTS, VALUES, linear=linear)
    sparse = fit_sparse(POINTS, VALUES, np.arange(60), linear)
    for found, wanted in zip(sparse.predict(AT), whole.predict(AT), strict=True):
        assert found == pytest.approx(wanted, rel=0.02, abs=2e-3)
    more = POINTS[:5], VALUES[:5] + 0.5
    changed = sparse.with_points(*more).predict(AT)[0]
    assert changed == pytest.approx(whole.with_points(*more).predict(AT)[0], rel=0.05, abs=0.02)


def test_values_at_other_points_count():
    inducing = farthest_first(POINTS, np.array([0]), 20)
    sparse = fit_sparse(POINTS, VALUES, inducing, False)
    alone = fit(POINTS[inducing], VALUES[inducing], linear=False)
    truth = np.sin(3 * AT[:, 0]) + AT[:, 1] ** 2
    off = [np.abs(p.predict(AT)[0] - truth).mean() for p in (sparse, alone)]
    assert off[0] < off[1]
    assert (sparse.predict(AT)[1] < alone.predict(AT)[1]).mean() > 0.9


@pytest.mark.parametrize(
    "first, count, wanted", [([], 3, [0, 3, 2]), ([1], 2, [1, 3]), ([3, 2], 2, [3, 2]),
                             ([], 9, [0, 3, 2, 1])]
)  # fmt: skip
def test_each_point_is_the_farthest_from_those_before(first, count, wanted):
    points = np.array([[0.0], [0.1], [0.6], [1.0]])
    assert farthest_first(points, np.array(first, dtype=np.int64), count).tolist() == wanted
