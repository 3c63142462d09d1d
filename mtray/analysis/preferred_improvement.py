"""The expected improvement of a point under a user's preference: arrays in, arrays out. More is
better in every objective.

Floors cut the region in which hypervolume counts (`raised_reference`). Weights give a utility whose
expected improvement is averaged over their intervals (Astudillo & Frazier 2020,
"Multi-attribute Bayesian Optimization with Interactive Preference Learning";
`utility_improvement`). It is combined with the hypervolume by their geometric mean: alone it tries
neighbours of the best so far, and keeps doing so where the model is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from mtray.analysis.decision import scales
from mtray.analysis.improvement import boxes, expected_excess, expected_improvement
from mtray.analysis.preference import Utility

Array = npt.NDArray[np.float64]
WEIGHTS = 32  # draws of the weights, a power of two
# values at which an objective is looked at above its floor, for 1, 2, ... floors (the last: for
# more, too), since all combinations of them are
NODES = (8, 8, 4, 3, 2)
FARTHEST = 0.25  # distance of a floor above the best, as a share of the values' range
LEAST_SPREAD = 1e-12  # of a utility that is nearly certain
LEAST = 1e-290  # of a probability to reach a floor, whose quantiles are infinite at 0


def improvement(
    predicted: Array, reference: Array, prefer: Utility | None, anchors: Array, beyond: float
) -> Callable[[Array, Array], Array]:
    """The expected improvement, shape (k,), of points with independent normal values, `mean` and
    `deviation` of shape (k, m).

    `predicted`, shape (n, m): values of the points so far; `reference`, shape (m,): of the
    hypervolume; `anchors`, shape (a, m): values of base model and baselines, for the units of
    worth; `beyond`: as in `raised_reference`. Without a preference it is the hypervolume's."""
    if prefer is None:
        return _hypervolume(predicted, reference)
    known = predicted if len(predicted) else reference[None]
    floors = near_floors(known, prefer.floors)
    raised = raised_reference(reference, known, floors, beyond)
    volume = _hypervolume(predicted, raised)
    if not prefer.weighted:
        return volume
    weights = prefer.spread_weights(WEIGHTS) / units_of_worth(known, anchors)
    best = best_utilities(known, weights, floors)

    def both(mean: Array, deviation: Array) -> Array:
        own = utility_improvement(mean, deviation, weights, best, floors)
        return np.asarray(np.sqrt(own * volume(mean, deviation)))

    return both


def _hypervolume(predicted: Array, reference: Array) -> Callable[[Array, Array], Array]:
    low, high = boxes(predicted, reference)
    return lambda mean, deviation: expected_improvement(mean, deviation, low, high)


def near_floors(predicted: Array, floors: Array) -> Array:
    """Floors, shape (m,), at most the share `FARTHEST` of the range of the points so far, shape
    (n, m), above the best of them: only where the model is most in doubt could a point reach a
    farther one, which would be tried instead of what comes nearer to it."""
    best = predicted.max(axis=0)
    return np.asarray(np.minimum(floors, best + FARTHEST * np.ptp(predicted, axis=0)))


def raised_reference(reference: Array, predicted: Array, floors: Array, beyond: float) -> Array:
    """The hypervolume's reference, shape (m,), with the objectives that have a floor raised to
    it, less the share `beyond` of what the front reaches above it, so that a recipe on the floor
    itself gains something. `predicted`, shape (n, m): values of the points so far.

    While no point reaches a floor, the reference is the floor itself: what is expected beyond it is
    then nearly the probability of reaching it, which grows with every step towards it."""
    above = np.maximum(predicted.max(axis=0) - floors, 0.0)  # inf without a floor
    return np.asarray(np.maximum(reference, floors - beyond * above))


def units_of_worth(predicted: Array, anchors: Array) -> Array:
    """One unit of worth in each objective, shape (m,), by the points so far, shape (n, m), and the
    base model and baselines, shape (a, m)."""
    found = scales(predicted, anchors if len(anchors) else predicted[:1])
    return np.where(found > 0, found, 1.0)


def best_utilities(predicted: Array, weights: Array, floors: Array) -> Array:
    """The greatest utility of `predicted` points, shape (n, m), that reach all floors, for each of
    the weights, shape (w, m): shape (w,). If none reaches them, the least utility of any, so that
    reaching them is what improves most."""
    found = predicted @ weights.T
    reaching = (predicted >= floors).all(axis=1)
    return np.asarray(found[reaching].max(axis=0) if reaching.any() else found.min(axis=0))


def utility_improvement(
    mean: Array, deviation: Array, weights: Array, best: Array, floors: Array
) -> Array:
    """E[(w y - best)+, y reaches all floors], shape (k,), of independent normal y with `mean` and
    `deviation`, shape (k, m), averaged over weights w, shape (w, m), each with its `best`, (w,).

    Without floors w y is normal, and this is exact. An objective with a floor is integrated above
    it by Gauss-Legendre quadrature on its quantiles, and the rest of w y is normal again.
    """
    floored = np.flatnonzero(np.isfinite(floors))
    free = np.setdiff1d(np.arange(mean.shape[1]), floored)
    spread = np.sqrt(deviation[:, free] ** 2 @ weights[:, free].T ** 2)
    spread = np.maximum(spread, LEAST_SPREAD)
    middle = mean[:, free] @ weights[:, free].T
    above = np.maximum(ndtr((mean[:, floored] - floors[floored]) / deviation[:, floored]), LEAST)
    nodes_each = NODES[min(max(len(floored), 1), len(NODES)) - 1]
    places, shares = np.polynomial.legendre.leggauss(nodes_each)
    places, shares = (1 + places) / 2, shares / 2
    total = np.zeros(len(mean))
    for nodes in product(range(nodes_each), repeat=len(floored)):
        chosen = list(nodes)
        # quantiles from the upper end, which stay exact where the floor is far away
        y = mean[:, floored] - deviation[:, floored] * ndtri(places[chosen] * above)
        shifted = middle + y @ weights[:, floored].T
        total += shares[chosen].prod() * expected_excess(shifted, spread, best).mean(axis=1)
    return np.asarray(total * above.prod(axis=1))
