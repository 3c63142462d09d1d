"""Expected hypervolume improvement, exactly: arrays in, arrays out. More is better everywhere."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from mtray.analysis.pareto import non_dominated

Array = npt.NDArray[np.float64]


def boxes(front: Array, reference: Array) -> tuple[Array, Array]:
    """The region above `reference`, shape (m,), that no point of `front`, shape (n, m), dominates,
    as disjoint boxes: lower and upper corners, each of shape (boxes, m); an upper corner may be
    infinite.

    Slab by slab along the last objective, and by recursion within a slab: for two objectives the
    strips of a staircase, n + 1 of them.
    """
    kept = front[(front > reference).all(axis=1)]
    kept = kept[non_dominated(kept)] if len(kept) else kept
    m = len(reference)
    if m == 1:
        low = kept.max() if len(kept) else reference[0]
        return np.array([[low]]), np.array([[np.inf]])
    levels = np.concatenate([[reference[-1]], np.unique(kept[:, -1]), [np.inf]])
    lows, highs = [], []
    for bottom, top in pairwise(levels):
        # points that reach the slab's top dominate within it by the other objectives
        above = kept[kept[:, -1] >= top, :-1] if np.isfinite(top) else kept[:0, :-1]
        low, high = boxes(above, reference[:-1])
        lows.append(np.column_stack([low, np.full(len(low), bottom)]))
        highs.append(np.column_stack([high, np.full(len(high), top)]))
    return np.vstack(lows), np.vstack(highs)


def expected_improvement(mean: Array, deviation: Array, low: Array, high: Array) -> Array:
    """Expected volume, shape (k,), that independent normal values of shape (k, m) add in `boxes`.

    Emmerich et al. 2011, "Hypervolume-based expected improvement": a sum over boxes of a product
    over objectives of E[min(Y, high) - low]+ = E[Y - low]+ - E[Y - high]+.
    """
    total = np.zeros(len(mean))
    for bottom, top in zip(low, high, strict=True):
        above_bottom = expected_excess(mean, deviation, bottom)
        total += (above_bottom - expected_excess(mean, deviation, top)).prod(axis=1)
    return total


def expected_excess(mean: Array, deviation: Array, limit: Array) -> Array:
    """E[(Y - limit)+] of normal Y, of the shape that the arguments broadcast to; 0 for an infinite
    limit. The deviation must be above 0."""
    z = (mean - limit) / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    found = deviation * (density + np.where(np.isfinite(z), z, 0.0) * ndtr(z))
    return np.asarray(np.where(np.isfinite(limit), found, 0.0))
