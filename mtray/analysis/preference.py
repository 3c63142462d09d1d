"""What a user prefers, as arrays: weights of the objectives, and floors that a recipe should reach.
Arrays in, arrays out; more is better in every objective.

A weight belongs to one unit of worth of its objective (`mtray.analysis.decision`): with weight 2
for the first of two objectives and 1 for the second, one unit of the first is worth two of the
second. Only the ratios of weights count, so they are divided by their mean: equal weights are all
1, and the worth is then the plain sum. A weight may be an interval that says how sure the user is;
it stands for uniform draws.

A floor is an aspiration (Wierzbicki 1980, "The Use of Reference Objectives in Multiobjective
Optimization") and no constraint: what misses it is worse than what reaches it, and the nearer the
better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mtray.analysis.pareto import maximised
from mtray.schema import Preference, Sense

Array = npt.NDArray[np.float64]
SMALLEST = 5e-324  # keeps a division by zero weights finite
LIKELY = 0.5  # least probability of reaching all floors with which a recipe counts as reaching them


@dataclass(frozen=True)
class Utility:
    """The weights' intervals `low` and `high`, and `floors` (-inf: none), each of shape (m,)."""

    low: Array
    high: Array
    floors: Array

    @property
    def weighted(self) -> bool:
        """Whether any weight may differ from another."""
        return bool(np.ptp(np.concatenate([self.low, self.high])) > 0)

    @property
    def floored(self) -> bool:
        return bool(np.isfinite(self.floors).any())

    @property
    def mean_weights(self) -> Array:
        """The expected weights, shape (m,)."""
        return np.asarray(self.spread_weights(256).mean(axis=0))

    def weights(self, count: int, seed: int) -> Array:
        """Draws of the weights, each with mean 1, shape (count, m)."""
        shares = np.random.default_rng(seed).random((count, len(self.low)))
        return _with_mean_one(self.low + shares * (self.high - self.low))

    def spread_weights(self, count: int) -> Array:
        """The same, spread evenly over the intervals (Sobol' points; `count`: a power of two); a
        single one if no weight has an interval."""
        from scipy.stats import qmc

        if (self.low == self.high).all():
            return _with_mean_one(self.low[None])
        shares = qmc.Sobol(len(self.low), seed=1).random(count)
        return _with_mean_one(self.low + shares * (self.high - self.low))

    def shortfall(self, values: Array, scale: Array) -> Array:
        """By how many units of worth values of shape (..., m) miss the floors, summed over them,
        shape (...); 0: they reach all. An objective with scale 0 counts in its own unit."""
        if not self.floored:
            return np.zeros(values.shape[:-1])
        missing = np.maximum(0.0, self.floors - values) / np.where(scale > 0, scale, 1.0)
        return np.asarray(missing.sum(-1))

    def shifted(self, origin: Array) -> Utility:
        """The same for values minus `origin`, shape (m,)."""
        return Utility(self.low, self.high, self.floors - origin)


def _with_mean_one(weights: Array) -> Array:
    # by the greatest first: the mean of weights near the largest float is infinite
    shares = weights / np.maximum(weights.max(axis=-1, keepdims=True), SMALLEST)
    return np.asarray(shares / np.maximum(shares.mean(axis=-1, keepdims=True), SMALLEST))


def utility(objectives: Mapping[str, Sense], prefer: Mapping[str, Preference]) -> Utility:
    """The preferences of a study, in its objectives' units with those to minimise negated. An
    objective without a weight has weight 1, one without a limit no floor."""
    known = [prefer.get(name, Preference()) for name in objectives]
    floors = [
        -np.inf if p.limit is None else float(maximised([p.limit], [sense])[0])
        for p, sense in zip(known, objectives.values(), strict=True)
    ]
    ends = np.array([(1.0, 1.0) if p.weight is None else p.weight for p in known])
    return Utility(ends[:, 0], ends[:, 1], np.array(floors))


def preferred_order(worth: Array, shortfall: Array, reaches: Array) -> npt.NDArray[np.int64]:
    """Indices of k candidates, the most preferred first: those that reach all floors with
    probability `LIKELY` or more by their expected `worth`, then the others by their expected
    `shortfall`. `reaches`: that probability. All of shape (k,); ties keep their order."""
    missed = np.where(reaches >= LIKELY, 0.0, shortfall)
    return np.asarray(np.lexsort((-worth, missed)), dtype=np.int64)
