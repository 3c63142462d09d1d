"""Which recipe to recommend, and how certain that is: a utility (*worth*) that combines several
objectives, and a choice by its posterior. Arrays in, arrays out; more is better in every objective.

The worth of a recipe is the sum of its objectives, each divided by the range of the expected values
of the base model, the baselines and the front. The range of the front alone, which the knee of
`mtray.analysis.pareto` uses, is not suitable: on a front of two points both would be worth the
same, however little one of them loses. Choosing by expected values under a posterior, and not by
observed values, avoids the winner's curse (Smith & Winkler 2006, "The Optimizer's Curse",
Management Science 52:311).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from mtray.analysis.pareto import non_dominated

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


def worth(values: Array, scale: Array) -> Array:
    """The worth of values of shape (..., m), shape (...); objectives with scale 0 are ignored."""
    return np.asarray(np.divide(values, scale, out=np.zeros_like(values), where=scale > 0).sum(-1))


@dataclass(frozen=True)
class Choice:
    """The best of k candidates by expected worth.

    - `best`: its index.
    - `probability`: that no other candidate is worth over `MARGIN` more.
    - `chances`, shape (k,): each candidate's probability of being worth most.
    - `rival`: index of the other candidate that is most often worth over `MARGIN` more; None: there
      is only one candidate.
    - `lead`, `deviation`: mean and standard deviation of the best's worth minus the rival's.
    """

    best: int
    probability: float
    chances: Array
    rival: int | None
    lead: float
    deviation: float


def choose(draws: Array, margin: float = MARGIN) -> Choice:
    """The best by joint draws of the candidates' worth, shape (draws, k). Raises ValueError without
    draws."""
    if draws.ndim != 2 or not draws.size:
        raise ValueError(f"expected draws of shape (draws, candidates), found {draws.shape}")
    k = draws.shape[1]
    best = int(np.argmax(draws.mean(axis=0)))
    beaten = draws > draws[:, [best]] + margin
    chances = np.bincount(draws.argmax(axis=1), minlength=k) / len(draws)
    if k == 1:
        return Choice(0, 1.0, chances, None, 0.0, 0.0)
    others = np.delete(np.arange(k), best)
    often = np.array([beaten[:, i].mean() for i in others])
    apart = draws[:, [best]] - draws[:, others]
    # ties, such as between candidates that are never ahead, go to the nearest
    near = apart.mean(axis=0) / np.maximum(apart.std(axis=0), 1e-300)
    place = int(np.lexsort((near, -often))[0])
    lead = apart[:, place]
    return Choice(
        best, float(1 - beaten.any(axis=1).mean()), chances, int(others[place]),
        float(lead.mean()), float(lead.std()),
    )  # fmt: skip


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
