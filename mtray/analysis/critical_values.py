"""Answers from a law: the least replay or mono ratio at which a loss is small enough, and the best
recipe. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt

from mtray.analysis.laws import Law
from mtray.analysis.uncertainty import TAILS

Array = npt.NDArray[np.float64]
GRID = 401  # values of a range that are evaluated; the loss between them is interpolated linearly


@dataclass(frozen=True)
class CriticalRatio:
    """The least value of a column at which at most the given loss remains; infinite: none in the
    range. 0, or the range's low end: nothing is needed.

    - `low`, `high`: its 95 % interval, over the draws of the law.
    - `none`: the share of the draws in which no value of the range is enough.
    - `not_needed`: the share in which the lowest value is enough.
    """

    value: float
    low: float
    high: float
    none: float
    not_needed: float


def least_values(losses: Array, grid: Array, limit: float) -> Array:
    """Where each row of `losses`, shape (draws, g), over an ascending `grid`, shape (g,), first
    falls to the limit; infinite if it does not."""
    enough = losses <= limit
    first = enough.argmax(axis=1)
    rows, before = np.arange(len(losses)), np.maximum(first - 1, 0)
    above, below = losses[rows, before], losses[rows, first]
    drop = np.where(above > below, above - below, 1.0)
    between = grid[first] - (grid[first] - grid[before]) * (limit - below) / drop
    found = np.where(first > 0, between, grid[0])
    return np.where(enough.any(axis=1), found, inf)


def critical(
    law: Law, at: Array, column: int, ends: tuple[float, float], limit: float
) -> CriticalRatio:
    """The critical ratio along one column of the point `at`, shape (5,), between two ends; `limit`
    is a loss, in the values' unit."""
    grid = np.linspace(*ends, GRID)
    points = np.tile(at, (GRID, 1))
    points[:, column] = grid
    value = least_values(-law.gaps(points)[None], grid, limit)[0]
    drawn = least_values(-law.drawn_gaps(points), grid, limit)
    # of the draws themselves: interpolation between a number and infinity is undefined
    low, high = np.quantile(drawn, TAILS, method="inverted_cdf")
    none, not_needed = np.isinf(drawn).mean(), (drawn == grid[0]).mean()
    return CriticalRatio(float(value), float(low), float(high), float(none), float(not_needed))


@dataclass(frozen=True)
class Best:
    """The best of several points.

    - `index`: by the fitted laws.
    - `indices`, shape (draws,): in every draw of the laws.
    """

    index: int
    indices: npt.NDArray[np.int64]


def best(laws: Sequence[Law], at: Array, utility: Callable[[Array], Array]) -> Best:
    """The point, of (n, 5), with the greatest `utility`, which maps the laws' values (..., n, laws)
    to (..., n). Draws of the laws are paired by row."""
    index = utility(np.stack([law.gaps(at) for law in laws], axis=-1)).argmax()
    drawn = utility(np.stack([law.drawn_gaps(at) for law in laws], axis=-1))
    return Best(int(index), drawn.argmax(axis=-1))
