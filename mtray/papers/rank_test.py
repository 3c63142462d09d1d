"""Spearman's correlation of two columns of trainings, its interval, and a permutation test."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np

from mtray.analysis.rank_prediction import (
    centred_interval,
    rank_correlation,
    ranks,
    unit_draws,
)
from mtray.analysis.uncertainty import Array

LEAST = 6  # trainings; an interval of fewer is not shown
PERMUTATIONS = 10_000  # all of them where there are not more
TOLERANCE = 1e-12


@dataclass(frozen=True)
class RankTest:
    """A rank correlation of `n` trainings.

    - `low`, `high`: its 95 % interval, over the trainings and the segments. If the order of all
      trainings agrees with `x`, so does that of resampled ones, and the interval covers only the
      segments.
    - `p`: the two-sided permutation test's.
    """

    rho: float
    low: float
    high: float
    p: float
    n: int

    def text(self) -> str:
        p = "p < .001" if self.p < 0.001 else f"p = {self.p:.3f}".replace("0.", ".")
        ends = f" [{self.low:+.2f}, {self.high:+.2f}]" if self.n >= LEAST else ""
        return f"{self.rho:+.2f}{ends}, {p}, {self.n} trainings"


def rank_test(x: Array, y: Array, drawn: Array | None = None) -> RankTest:
    """The correlation of `x` and `y`, shape (n,), over trainings with seeds of their own. `drawn`,
    shape (draws, n): bootstrap draws of `y` over the segments; None: there are none, and the
    interval covers the trainings alone."""
    values = np.tile(y, (1000, 1)) if drawn is None else drawn
    weights = unit_draws(np.arange(len(x)), len(values))
    rho = float(rank_correlation(x, y))
    low, high = centred_interval(rho, rank_correlation(x, values, weights), len(x))
    return RankTest(rho, max(low, -1.0), min(high, 1.0), permutation_p(x, y), len(x))


def permutation_p(x: Array, y: Array, seed: int = 0) -> float:
    """The share of permutations of `y` whose correlation with `x` is at least as far from 0: of all
    n! if they are at most `PERMUTATIONS`, else of that many random ones and the identity.

    Of 1, 2, 3 and 1, 2, 3 the six permutations have 1, .5, .5, -.5, -.5 and -1, so p is 2 / 6.
    """
    a, b = ranks(x), ranks(y)
    if factorial(min(len(b), 20)) <= PERMUTATIONS:
        shuffled = np.array(list(permutations(b)))
    else:
        rng = np.random.default_rng(seed)
        shuffled = np.vstack([b, rng.permuted(np.tile(b, (PERMUTATIONS, 1)), axis=1)])
    found = np.abs(rank_correlation(a, shuffled))
    return float((found >= abs(float(rank_correlation(a, b))) - TOLERANCE).mean())
