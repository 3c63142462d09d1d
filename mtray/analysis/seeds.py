"""What luck does to a recipe: variance over seeds, pooled over all recipes that were trained more
than once. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SeedVariance:
    """Variance of one trial's values over seeds, shape (m,), on `freedom` degrees of freedom; 0
    degrees mean that nothing was repeated and nothing is known."""

    variance: Array
    freedom: int

    @property
    def deviation(self) -> Array:
        return np.asarray(np.sqrt(self.variance))

    def quantile(self, level: float) -> Array:
        """Quantile of one trial's error, shape (m,), by Student's t: the deviation itself is
        estimated, from few. 0 without a degree of freedom."""
        if not self.freedom:
            return np.zeros_like(self.variance)
        return np.asarray(_student_t(level, self.freedom) * self.deviation)


@lru_cache(maxsize=128)
def _student_t(level: float, freedom: int) -> float:
    """Kept, since scipy takes 0.3 ms and every score of every trial asks for the same one."""
    from scipy.stats import t

    return float(t.ppf(level, freedom))


def pooled_variance(groups: Sequence[npt.ArrayLike]) -> SeedVariance:
    """Within-group variance pooled over groups of shape (replicates, m): sum of squared deviations
    from the group's mean, over sum of (replicates - 1).

    Pooled because a single recipe has few replicates; it takes the variance for the same everywhere
    in the space. Replicates are measured on the same segments, so this holds what seed, draw and
    their interplay with the segments do, and nothing that all replicates share. ValueError without
    a group or for groups with different m.
    """
    found = [np.asarray(group, dtype=np.float64) for group in groups]
    if not found or any(g.ndim != 2 or g.shape[1] != found[0].shape[1] for g in found):
        raise ValueError("groups need the shape (replicates, objectives) with the same objectives")
    squares = sum(((g - g.mean(axis=0)) ** 2).sum(axis=0) for g in found)
    freedom = sum(len(g) - 1 for g in found)
    return SeedVariance(np.asarray(squares / max(1, freedom)), freedom)


def seed_draws(spread: SeedVariance, replicates: npt.ArrayLike, draws: int, seed: int = 0) -> Array:
    """How far the means over seeds may be off, shape (draws, points, m), for `replicates`, shape
    (points,), the trials behind each mean; 0 marks a point on which luck has no hold.

    A draw takes one variance for all points, from its posterior under the reference prior
    (variance * freedom / chi squared), then normal errors of variance / replicates: each error is
    Student's t with `freedom` degrees (Gelman et al. 2013, "Bayesian Data Analysis", 3.2), wide
    where few trials were repeated. Objectives and points are independent. All zero without a degree
    of freedom.
    """
    counts = np.asarray(replicates, dtype=np.float64)
    shape = (draws, len(counts), len(spread.variance))
    if not spread.freedom:
        return np.zeros(shape)
    rng = np.random.default_rng(seed)
    scale = np.sqrt(spread.freedom / rng.chisquare(spread.freedom, (draws, 1, shape[2])))
    share = np.where(counts > 0, 1 / np.sqrt(np.maximum(counts, 1)), 0.0)[None, :, None]
    return np.asarray(rng.standard_normal(shape) * scale * share * spread.deviation)
