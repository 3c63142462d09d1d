"""The Pareto front of noisy points: arrays in, arrays out.

Directions are normalised once, in `maximised`; all other functions take values of shape (n, m), n
points with m objectives, more is better. NaN and infinity raise everywhere: a point that lacks an
objective must not compete.
"""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np
import numpy.typing as npt

from mtray.analysis.standard_draws import standard_draws
from mtray.analysis.uncertainty import Z95
from mtray.schema import Sense

Array = npt.NDArray[np.float64]
AT_ONCE = 100_000  # points of all draws that are looked at together
FEW = 64  # maximum number of points whose pairs are compared all at once, in every draw


def _checked(values: npt.ArrayLike) -> Array:
    """As float64 of shape (n, m). Raises ValueError for another shape, NaN or infinity."""
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 2 or found.shape[1] == 0:
        raise ValueError(f"values need the shape (points, objectives), found {found.shape}")
    if not np.isfinite(found).all():
        rows = np.flatnonzero(~np.isfinite(found).all(axis=1)).tolist()
        raise ValueError(f"an objective of the points {rows} is NaN or infinite")
    return found


def maximised(values: npt.ArrayLike, senses: Sequence[Sense]) -> Array:
    """Values, shape (..., m), with the objectives to minimise negated, so that more is better."""
    found = np.asarray(values, dtype=np.float64)
    if not found.ndim or found.shape[-1] != len(senses):
        raise ValueError(f"{len(senses)} senses for values of shape {found.shape}")
    if unknown := sorted(set(senses) - {"max", "min"}):
        raise ValueError(f"a sense is max or min, found {unknown[0]!r}")
    return np.asarray(found * np.where(np.array(senses) == "max", 1.0, -1.0))


def non_dominated(values: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which points no other point dominates, shape (n,): no other is at least as good in all
    objectives and better in one.

    Equal points do not dominate each other, so all of them stay. The result does not depend on the
    order of rows.
    """
    found = _checked(values)
    # the best sums first, so that most points are eliminated early; the order changes the time, not
    # the result
    alive = np.argsort(-found.sum(axis=1), kind="stable")
    position = 0
    while position < len(alive):
        point, others = found[alive[position]], found[alive]
        keep = (others > point).any(axis=1) | (others == point).all(axis=1)
        position = int(keep[:position].sum()) + 1
        alive = alive[keep]
    mask = np.zeros(len(found), dtype=np.bool_)
    mask[alive] = True
    return mask


def front_order(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Indices of the points on the front, the best in the first objective first; ties by the
    objectives after it."""
    found = _checked(values)
    index = np.flatnonzero(non_dominated(found))
    # lexsort's last key is its primary one
    return np.asarray(index[np.lexsort(-found[index].T[::-1])], dtype=np.int64)


def knee(values: npt.ArrayLike) -> int:
    """Index of the knee: the point of the front with the greatest sum of objectives, each scaled to
    [0, 1] over the front.

    With two objectives this is the greatest signed distance to the line through the front's
    extremes (Das 1999, "On characterizing the knee of the Pareto curve"; Branke et al. 2004,
    "Finding knees in multi-objective optimization"); with more, the distance to the plane sum = 1.
    An objective that is constant over the front is ignored. In a tie (one point, two points, a
    straight front) the best in the first objective wins. Raises ValueError without points.
    """
    found = _checked(values)
    if not len(found):
        raise ValueError("no points, so no knee")
    order = front_order(found)
    front = found[order]
    low, extent = front.min(axis=0), np.ptp(front, axis=0)
    scaled = np.divide(front - low, extent, out=np.zeros_like(front), where=extent > 0)
    total = scaled.sum(axis=1)
    # a tie up to rounding goes to the first in front order, whatever the last bit of the sums
    return int(order[np.flatnonzero(total >= total.max() - 1e-9)[0]])


def hypervolume(
    values: npt.ArrayLike, reference: npt.ArrayLike, senses: Sequence[Sense] | None = None
) -> float:
    """Volume that the points dominate above `reference`, shape (m,), in the product of the
    objectives' units (moocore).

    Points that are not better than the reference in every objective add nothing. `senses` None:
    more is better.
    """
    found, corner = _checked(values), np.asarray(reference, dtype=np.float64)
    if corner.shape != found.shape[1:] or not np.isfinite(corner).all():
        raise ValueError(f"a reference of {found.shape[1]} numbers is needed, found {reference!r}")
    if senses is not None:
        found, corner = maximised(found, senses), maximised(corner, senses)
    inside = found[(found > corner).all(axis=1)]
    return float(moocore.hypervolume(inside, ref=corner, maximise=True)) if len(inside) else 0.0


def spread(values: npt.ArrayLike) -> Array:
    """The range of the front in every objective, best minus worst, shape (m,)."""
    found = _checked(values)
    if not len(found):
        return np.zeros(found.shape[1])
    return np.asarray(np.ptp(found[non_dominated(found)], axis=0))


def interval_draws(
    values: npt.ArrayLike,
    low: npt.ArrayLike,
    high: npt.ArrayLike,
    draws: int = 2000,
    seed: int = 0,
) -> Array:
    """Draws of shape (draws, n, m) whose median is `values` and whose central 95 % lies between
    `low` and `high`.

    Normal on each side with a separate scale, because an interval near a bound (retention near 1)
    is asymmetric. Points and objectives are drawn independently, and the draws of an objective do
    not depend on those after it; if trials share their test segments this overstates the noise of a
    difference.
    """
    middle, below, above = _checked(values), _checked(low), _checked(high)
    if not middle.shape == below.shape == above.shape:
        raise ValueError(f"shapes differ: {middle.shape}, {below.shape}, {above.shape}")
    if (below > middle).any() or (above < middle).any():
        raise ValueError("an interval must hold its value")
    found = np.empty((*middle.T.shape, draws))
    for k, own in enumerate(found):
        _, z = standard_draws(len(middle), draws, seed + k)
        down, up = (middle - below)[:, k] / Z95, (above - middle)[:, k] / Z95
        for point, draw in enumerate(own):  # in the cache, one at a time
            np.multiply(z[point], up[point], out=draw)
            if up[point] != down[point]:
                draw += (down[point] - up[point]) * np.minimum(z[point], 0.0)
            draw += middle[point, k]
    return found.T


def _on_plane(draws: Array) -> npt.NDArray[np.bool_]:
    """`non_dominated` for draws of two objectives, shape (draws, n, 2): shape (draws, n). By the
    first objective from the best on, a point must be better in the second than all before it, and
    as good as any that equals it in the first."""
    if not np.isfinite(draws).all():
        raise ValueError("a draw of an objective is NaN or infinite")
    order = np.argsort(-draws[:, :, 0], axis=1)
    x, y = (np.take_along_axis(draws[:, :, k], order, axis=1) for k in range(2))
    found = np.empty(x.shape, dtype=np.bool_)
    if (x[:, 1:] < x[:, :-1]).all():  # no ties, in most draws
        better = np.ones(x.shape, dtype=np.bool_)
        better[:, 1:] = y[:, 1:] > np.maximum.accumulate(y, axis=1)[:, :-1]
        np.put_along_axis(found, order, better, axis=1)
        return found
    order = np.lexsort((-draws[:, :, 1], -draws[:, :, 0]), axis=1)
    x, y = (np.take_along_axis(draws[:, :, k], order, axis=1) for k in range(2))
    begins = np.ones(x.shape, dtype=np.bool_)
    begins[:, 1:] = x[:, 1:] < x[:, :-1]
    first = np.maximum.accumulate(np.where(begins, np.arange(x.shape[1]), 0), axis=1)
    so_far = np.full((len(x), x.shape[1] + 1), -np.inf)
    np.maximum.accumulate(y, axis=1, out=so_far[:, 1:])
    before, top = (np.take_along_axis(part, first, axis=1) for part in (so_far, y))
    np.put_along_axis(found, order, (y > before) & (y >= top), axis=1)
    return found


def front_probability(draws: Array) -> Array:
    """Share of the draws, shape (draws, n, m), in which each point is on the front, shape (n,).

    Accepts any draws: of `interval_draws`, or joint bootstrap draws of all points if available
    (better: paired).
    """
    if draws.ndim != 3 or not len(draws):
        raise ValueError(f"draws need the shape (draws, points, objectives), found {draws.shape}")
    n, m = draws.shape[1:]
    if n > FEW and m == 2:
        parts = np.array_split(draws, max(1, len(draws) * n // AT_ONCE))
        return np.asarray(np.concatenate([_on_plane(part) for part in parts]).mean(axis=0))
    if n > FEW:
        return np.asarray(np.mean([non_dominated(draw) for draw in draws], axis=0))
    if not np.isfinite(draws).all():
        raise ValueError("a draw of an objective is NaN or infinite")
    at_least, better = np.ones((2, len(draws), n, n), dtype=np.bool_)
    better[:] = False
    for k in range(m):
        one, other = draws[:, :, None, k], draws[:, None, :, k]
        at_least &= one >= other
        better |= one > other
    return np.asarray(1 - (at_least & better).any(axis=1).mean(axis=0))
