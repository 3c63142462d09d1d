"""The processes that a suggestion is computed from."""

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from mtray.analysis.gaussian_process import Process
from mtray.analysis.gaussian_process_fit import LONG
from mtray.analysis.sparse_gaussian_process import SparseProcess
from mtray.search.strategy.surrogates import INDUCING, MOST, SHORT, fitted, length_scales
from mtray.search_space.shares import ShareDistribution
from mtray.search_space.unit_cube import UnitCube

MIXED = UnitCube({
    "rate": FloatDistribution(1e-4, 1e-2, log=True),
    "web": ShareDistribution("mono", 1.0, 2),
    "news": ShareDistribution("mono", 1.0, 2),
    "kind": CategoricalDistribution(["a", "b", "c"]),
    "fixed": IntDistribution(3, 3),
    "layers": IntDistribution(0, 5),
})  # fmt: skip


def test_shares_have_longer_length_scales_than_other_parameters():
    shares = MIXED.share_features
    assert shares == [False, True, True, False, False, False, False]
    assert len(shares) == MIXED.features(np.full((1, MIXED.dimensions), 0.5)).shape[1]
    priors = length_scales(shares, guessed=False)
    assert priors == [SHORT, LONG, LONG, SHORT, SHORT, SHORT, SHORT]
    assert SHORT.middle(7) < LONG.middle(7)
    assert length_scales(shares, guessed=True) == [LONG] * 7


@pytest.mark.parametrize(("count", "kind"), [(MOST, Process), (MOST + 1, SparseProcess)])
def test_many_points_make_sparse_processes_that_know_the_front(count, kind):
    rng = np.random.default_rng(0)
    points = rng.random((count, 2))
    better = np.column_stack([points[:, 0], 1 - points[:, 0]]) - points[:, 1:]
    values = np.column_stack([better, points.sum(axis=1)])
    found = fitted(points, values, better, length_scales([False, False], guessed=False))
    assert [type(process) for process in found] == [kind] * 3
    for process, expected in zip(found, values.T, strict=True):
        assert process.predict(points)[0] == pytest.approx(expected, abs=0.02)
    if kind is SparseProcess:
        on_front = points[np.argsort(points[:, 1])[:3]]
        inducing = {tuple(point) for point in found[0].inducing}
        assert len(inducing) == INDUCING and {tuple(point) for point in on_front} <= inducing
