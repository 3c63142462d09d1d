"""Which recipe to take, and how surely: one number for what several objectives are worth together,
and choosing by its posterior. Arrays in, arrays out; more is better in every objective.

A recipe is worth the sum of its objectives, each in units of how far the expected values of the
base model, the baselines and the front reach. The front alone, as the knee of
`mtray.analysis.pareto` has it, would not do: of a front of two points both are worth the same,
however little one of them loses. Whoever chooses by expected values under
a posterior, and not by observed ones, is not fooled by what only looked best (the winner's curse;
Smith & Winkler 2006, "The Optimizer's Curse", Management Science 52:311).
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
# in units of worth: recipes that are worth as much up to this are as good as each other (an
# indifference zone: Bechhofer 1954, Annals of Mathematical Statistics 25:16)
MARGIN = 0.1
LEAST_REACH = 1e-9  # below it values differ by rounding alone


def scales(means: npt.ArrayLike, anchors: npt.ArrayLike) -> Array:
    """How far expected values reach in every objective, shape (m,), 0 where it is rounding: those
    of `anchors`, shape (a, m), the base model and the baselines, and of the front of them and
    `means`, shape (k, m)."""
    fixed = np.atleast_2d(np.asarray(anchors, dtype=np.float64))
    found = np.vstack([np.asarray(means, dtype=np.float64), fixed])
    reach = np.ptp(np.vstack([found[non_dominated(found)], fixed]), axis=0)
    return np.where(reach > LEAST_REACH, reach, 0.0)


def worth(values: Array, scale: Array) -> Array:
    """What values of shape (..., m) are worth, shape (...); an objective in which nothing
    reaches anywhere has no say."""
    return np.asarray(np.divide(values, scale, out=np.zeros_like(values), where=scale > 0).sum(-1))


@dataclass(frozen=True)
class Choice:
    """The best of k candidates by expected worth.

    - `best`: its index.
    - `probability`: that no other is worth more by over `MARGIN`.
    - `chances`, shape (k,): each one's of being worth most.
    - `rival`: the other one that is most often worth more by over `MARGIN`; None: there is none.
    - `lead`, `deviation`: mean and standard deviation of what the best is worth more than it.
    """

    best: int
    probability: float
    chances: Array
    rival: int | None
    lead: float
    deviation: float


def choose(draws: Array, margin: float = MARGIN) -> Choice:
    """By joint draws of the candidates' worth, shape (draws, k). ValueError without any."""
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
    # of those that are never ahead, the one that is nearest
    near = apart.mean(axis=0) / np.maximum(apart.std(axis=0), 1e-300)
    place = int(np.lexsort((near, -often))[0])
    lead = apart[:, place]
    return Choice(
        best, float(1 - beaten.any(axis=1).mean()), chances, int(others[place]),
        float(lead.mean()), float(lead.std()),
    )  # fmt: skip


@dataclass(frozen=True)
class Needed:
    """What would tell two recipes apart, one of the two.

    - `repeats`: more trainings of each, with other seeds; None: no number of them would.
    - `segments`: times as many evaluation segments; None: no number of them would.
    """

    repeats: int | None
    segments: float | None


def needed(
    lead: float, deviation: float, by_seeds: tuple[float, float], seeds: tuple[int, int],
    probability: float = 0.95, margin: float = MARGIN,
) -> Needed:  # fmt: skip
    """How many more trainings, or segments, make P(the lead is above -`margin`) reach
    `probability`, should the lead stay what it is.

    `deviation` is the lead's; `by_seeds` the two recipes' standard deviations over seeds of one
    training, `seeds` how many each has (0: it has no seed). The lead's variance is taken for a part
    that falls with the seeds, sum of s^2 / n, and a rest that falls with the segments."""
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
    """The least m with which the sum of s / (n + m) over the pairs (s, n) is at most `most`, which
    is above 0; 0 is known not to do."""

    def enough(more: int) -> bool:
        return sum(s / (n + more) for s, n in pairs) <= most

    high = 1
    while not enough(high):
        high *= 2
    # not one by one: it takes millions where the rest is next to all that is allowed
    return bisect_left(range(high), True, lo=high // 2 + 1, key=enough)
