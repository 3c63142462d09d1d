"""Ends of intervals by sorting the tails alone."""

import numpy as np
import pytest

from mtray.analysis.row_quantiles import interval_ends
from mtray.analysis.standard_draws import KEPT, standard_draws

RNG = np.random.default_rng(2)
CASES = {
    "normal": RNG.standard_normal((150, 2000)),
    "heavy tails": RNG.standard_cauchy((70, 999)),
    "skewed": RNG.exponential(size=(70, 1000)) ** 3,
    "ties": RNG.integers(0, 3, (70, 1000)).astype(float),
    "constant": np.ones((3, 1000)),
    "sorted": np.sort(RNG.standard_normal((9, 2000)), axis=1),
    "falling": -np.sort(RNG.standard_normal((9, 2000)), axis=1),
    "repeated": np.tile(RNG.standard_normal((9, 500)), 2),
    "few draws": RNG.standard_normal((9, 50)),
    "one row": RNG.standard_normal((1, 401)),
}


@pytest.mark.parametrize("rows", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("less", [0.0, 1.0])
def test_they_are_those_of_numpy(rows, less):
    other = less * RNG.standard_normal(rows.shape[1])
    expected = np.quantile(rows - other, [0.025, 0.975], axis=1)
    assert np.array(interval_ends(rows, other)) == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_standard_draws_have_their_law_and_are_kept():
    scale, normal = standard_draws(40, 5000, seed=1, freedom=6.0)
    assert normal.shape == (40, 5000) and scale.shape == (5000,)
    assert normal.mean() == pytest.approx(0, abs=0.01)
    assert np.cov(normal) == pytest.approx(np.eye(40), abs=0.08)
    assert (1 / scale).mean() == pytest.approx(1, abs=0.03)  # chi squared over its freedom
    assert (1 / scale).var() == pytest.approx(2 / 6, abs=0.03)
    assert (standard_draws(40, 5000, seed=1)[0] == 1).all(), "without freedom"
    assert standard_draws(40, 5000, seed=1, freedom=6.0)[1] is normal
    assert not (standard_draws(40, 5000, seed=2, freedom=6.0)[1] == normal).any()
    with pytest.raises(ValueError, match="read-only"):
        normal[0] = 0.0


def test_draws_of_too_many_are_not_kept():
    assert standard_draws(2, KEPT, 1)[1] is not standard_draws(2, KEPT, 1)[1]
