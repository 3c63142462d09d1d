"""How well one number of each of n points predicts another: rank correlation, and the error of a
straight line in the ranks on points that it was not fitted to. Arrays in, arrays out.

Only the order of the predictor counts, so neither its scale nor the form of an increasing relation
matters.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mtray.analysis.uncertainty import LEVEL, Array, small_sample


def ranks(values: npt.ArrayLike) -> Array:
    """Ranks from 1 along the last axis; equal values get their mean rank."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(np.asarray(values, dtype=np.float64), axis=-1))


def rank_correlation(x: npt.ArrayLike, y: npt.ArrayLike, weights: Array | None = None) -> Array:
    """Spearman's correlation along the last axis of shapes (..., n), which are broadcast; 0 if one
    of them is constant. `weights`, shape (..., n), positive: of the points."""
    a, b = ranks(x), ranks(y)
    w = np.ones(a.shape[-1]) if weights is None else weights
    w = w / w.sum(axis=-1, keepdims=True)
    a = a - (w * a).sum(axis=-1, keepdims=True)
    b = b - (w * b).sum(axis=-1, keepdims=True)
    both = (w * a * b).sum(axis=-1)
    size = np.sqrt((w * a**2).sum(axis=-1) * (w * b**2).sum(axis=-1))
    return np.asarray(np.divide(both, size, out=np.zeros_like(size), where=size > 0))


def left_out_errors(y: npt.ArrayLike, x: npt.ArrayLike | None = None) -> Array:
    """Errors of predicting each of n values `y`, shape (..., n), from the others: by their mean or,
    with `x`, shape (n,), by a straight line in the ranks of x among all n.

    Least squares needs no separate fit for each left-out point: its error is the residual over 1 -
    h, h its leverage (Allen 1974, Technometrics 16:125). If the others all have the same x, their
    mean is the prediction. Raises ValueError with fewer than three points.
    """
    values = np.asarray(y, dtype=np.float64)
    n = values.shape[-1]
    if n < 3:
        raise ValueError(f"leaving out needs 3 points or more, found {n}")
    apart = values - values.mean(axis=-1, keepdims=True)
    by_mean = np.asarray(apart * n / (n - 1))
    if x is None:
        return by_mean
    r = ranks(x) - (n + 1) / 2
    square = float(r @ r)
    if not square:
        return by_mean
    slope = apart @ r / square
    free = 1 - 1 / n - r**2 / square  # 1 - h
    alone = free < 1e-9
    by_line = (apart - slope[..., None] * r) / np.where(alone, 1.0, free)
    return np.where(alone, by_mean, by_line)


def unit_draws(units: npt.NDArray[np.int64], draws: int, seed: int = 0) -> Array:
    """Weights of points in Bayesian bootstrap draws, shape (draws, n); points of one unit, shape
    (n,), have the same weight."""
    _, index = np.unique(units, return_inverse=True)
    rng = np.random.default_rng(seed)
    return rng.standard_exponential((draws, int(index.max()) + 1))[:, index]


def centred_interval(value: float, draws: Array, units: int) -> tuple[float, float]:
    """The 95 % interval of a value from the deviations of draws, shape (draws,), from their median,
    widened for few units (`small_sample`). The draws are centred because they add noise to noisy
    values, which shifts their level: a correlation moves towards 0."""
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = small_sample(units) * np.quantile(draws - np.median(draws), tails)
    return value + float(low), value + float(high)
