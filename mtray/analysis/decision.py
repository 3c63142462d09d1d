"""Which recipe to recommend, and how certain that is: a utility (*worth*) that combines several
objectives, and a choice by its posterior. Arrays in, arrays out; more is better in every objective.

The worth of a recipe is the sum of its objectives, each divided by the range of the expected values
of the base model, the baselines and the front. The range of the front alone, which the knee of
`mtray.analysis.pareto` uses, is not suitable: on a front of two points both would be worth the
same, however little one of them loses. A user's preference (`mtray.analysis.preference`) may weight
the objectives, and set floors, which come before worth. Choosing by expected values under a
posterior, and not by observed values, avoids the winner's curse (Smith & Winkler 2006, "The
Optimizer's Curse", Management Science 52:311).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from mtray.analysis.pareto import front_probability, non_dominated
from mtray.analysis.preference import Utility, preferred_order

Array = npt.NDArray[np.float64]
# in units of worth: recipes that differ by at most this count as equal (an indifference zone:
# Bechhofer 1954, Annals of Mathematical Statistics 25:16)
MARGIN = 0.1
LEAST_REACH = 1e-9  # values in a smaller range differ by rounding only


def scales(means: npt.ArrayLike, anchors: npt.ArrayLike) -> Array:
    """The range of expected values in every objective, shape (m,), 0 if it is rounding only. It
    covers `anchors`, shape (a, m) (base model and baselines), and the front of `anchors` and
    `means`, shape (k, m), together."""
    fixed = np.atleast_2d(np.asarray(anchors, dtype=np.float64))
    found = np.vstack([np.asarray(means, dtype=np.float64), fixed])
    reach = np.ptp(np.vstack([found[non_dominated(found)], fixed]), axis=0)
    return np.where(reach > LEAST_REACH, reach, 0.0)


def worth(values: Array, scale: Array, weights: Array | float = 1.0) -> Array:
    """The worth of values of shape (..., m), shape (...); objectives with scale 0 are ignored.
    `weights`: of each objective, of a shape that fits the values' (mean 1)."""
    units = np.divide(values, scale, out=np.zeros_like(values), where=scale > 0)
    return np.asarray((units * weights).sum(-1))


@dataclass(frozen=True)
class Choice:
    """The best of k candidates by expected worth, among those that reach all floors with
    probability one half or more; if none does, the one with the least expected shortfall.

    - `best`: its index.
    - `probability`: that no other candidate is better by over `MARGIN` (`_beaten`).
    - `chances`, shape (k,): each candidate's probability of being the best: the least shortfall,
      and among equals the most worth.
    - `reaches`, shape (k,): each candidate's probability of reaching all floors.
    - `rival`: index of the other candidate that is most often better by over `MARGIN`; None: there
      is only one candidate.
    - `lead`, `deviation`: mean and standard deviation of the best's worth minus the rival's, or, in
      draws where one of them is nearer to the floors by over `MARGIN`, of that distance.
    """

    best: int
    probability: float
    chances: Array
    reaches: Array
    rival: int | None
    lead: float
    deviation: float


def choose(draws: Array, margin: float = MARGIN, shortfall: Array | None = None) -> Choice:
    """The best by joint draws of the candidates' worth and `shortfall` (None: no floors), each of
    shape (draws, k). Raises ValueError without draws."""
    if draws.ndim != 2 or not draws.size:
        raise ValueError(f"expected draws of shape (draws, candidates), found {draws.shape}")
    k = draws.shape[1]
    short = np.zeros_like(draws) if shortfall is None else shortfall
    reaches = (short <= 0).mean(axis=0)
    best = int(preferred_order(draws.mean(axis=0), short.mean(axis=0), reaches)[0])
    nearest = np.where(short <= short.min(axis=1, keepdims=True), draws, -np.inf)
    chances = np.bincount(nearest.argmax(axis=1), minlength=k) / len(draws)
    if k == 1:
        return Choice(0, 1.0, chances, reaches, None, 0.0, 0.0)
    beaten = _beaten(draws, short, best, margin)
    others = np.delete(np.arange(k), best)
    often = beaten.mean(axis=0)[others]
    nearer = short[:, others] - short[:, [best]]
    apart = np.where(np.abs(nearer) > margin, nearer, draws[:, [best]] - draws[:, others])
    # ties, such as between candidates that are never ahead, go to the nearest
    near = apart.mean(axis=0) / np.maximum(apart.std(axis=0), 1e-300)
    place = int(np.lexsort((near, -often))[0])
    lead = apart[:, place]
    return Choice(
        best, float(1 - beaten.any(axis=1).mean()), chances, reaches, int(others[place]),
        float(lead.mean()), float(lead.std()),
    )  # fmt: skip


def _beaten(draws: Array, short: Array, best: int, margin: float) -> npt.NDArray[np.bool_]:
    """In which draws a candidate is better than `best` by over `margin`, shape (draws, k): nearer
    to the floors by that, or worth that much more and no further from them."""
    nearer = short < short[:, [best]] - margin
    worth_more = (short <= short[:, [best]]) & (draws > draws[:, [best]] + margin)
    return np.asarray(nearer | worth_more)


def preferred_chances(draws: Array, scale: Array, prefer: Utility, weights: Array) -> Array:
    """Each point's probability of being one that the user may prefer, shape (n,), by joint draws of
    values, shape (draws, n, m). In each draw those are the points that reach all floors (if none
    does, the nearest): with weights, of shape (draws, m), those worth at most `MARGIN` less than
    the best of them; without, those of them on their front."""
    short = prefer.shortfall(draws, scale)
    near = short <= short.min(axis=1, keepdims=True)
    if not prefer.weighted:
        low = draws.min(axis=1, keepdims=True) - 1.0  # dominated by every other
        return front_probability(np.where(near[..., None], draws, low))
    found = np.where(near, worth(draws, scale, weights[:, None]), -np.inf)
    return np.asarray((found >= found.max(axis=1, keepdims=True) - MARGIN).mean(axis=0))


def chance_better(draws: Array, shortfall: Array, one: int, other: int) -> float:
    """Probability that candidate `one` has less shortfall than `other`, or the same and more
    worth; draws as in `choose`."""
    worth_more = draws[:, one] > draws[:, other]
    short, shorter = shortfall[:, one], shortfall[:, other]
    return float(((short < shorter) | ((short == shorter) & worth_more)).mean())


@dataclass(frozen=True)
class Needed:
    """What would separate two recipes: either more repeats or more segments.

    - `repeats`: further trainings of each, with other seeds; None: no number of them is enough.
    - `segments`: factor by which to multiply the evaluation segments; None: no factor is enough.
    """

    repeats: int | None
    segments: float | None


def needed(
    lead: float, deviation: float, by_seeds: tuple[float, float], seeds: tuple[int, int],
    probability: float = 0.95, margin: float = MARGIN,
) -> Needed:  # fmt: skip
    """How many more trainings, or segments, make P(lead > -`margin`) reach `probability`, if the
    expected lead stays as it is.

    `deviation` is the standard deviation of the lead, `by_seeds` the two recipes' standard
    deviations s over seeds of one training, and `seeds` the number n of seeds of each (0: the base
    model, which has none). The lead's variance is split into a part that falls with the seeds, the
    sum of s^2 / n, and the rest, which falls with the segments."""
    aim = ((lead + margin) / NormalDist().inv_cdf(probability)) ** 2
    if deviation**2 <= aim:
        return Needed(0, 1.0)
    pairs = [(s**2, n) for s, n in zip(by_seeds, seeds, strict=True) if n]
    of_seeds = min(deviation**2, sum(s / n for s, n in pairs))
    rest = deviation**2 - of_seeds
    segments = rest / (aim - of_seeds) if of_seeds < aim else None
    if rest >= aim or not pairs:
        return Needed(None, segments)
    return Needed(_more_seeds(pairs, aim - rest), segments)


def _more_seeds(pairs: Sequence[tuple[float, int]], most: float) -> int:
    """The least m for which the sum of s / (n + m) over the pairs (s, n) is at most `most`, which
    is above 0. The caller knows that m = 0 is not enough."""

    def enough(more: int) -> bool:
        return sum(s / (n + more) for s, n in pairs) <= most

    high = 1
    while not enough(high):
        high *= 2
    # bisection: m can be in the millions if `most` is tiny
    return bisect_left(range(high), True, lo=high // 2 + 1, key=enough)
