"""Rules of early stopping for `rungs.py`: mtray's with other settings, successive halving by one
objective and by all, and one that knows how trials end.

A rule's `judge` is given a trial's measurement at a rung and those of the other trials there, and
returns whether the trial ends, and the numbers of the trials that are better in every objective.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from search_tables import Array

from mtray.analysis.pareto import maximised, non_dominated
from mtray.schema import EarlyStopping, Sense
from mtray.search.early_stopping.rungs import Point, decide

Verdict = tuple[bool, tuple[int, ...]]
PLACES = (
    0.125,
    0.25,
    0.5,
)  # names only: `decide` reads the index, and 0 is the one that never ends
BASIC = EarlyStopping(rungs=PLACES, margin=1.0)


class Rule:
    """Interface. `objectives` of the problem; `fidelity` counts the rungs of the problem from
    0."""

    def judge(
        self, fidelity: int, mine: Point, others: Sequence[Point], objectives: dict[str, Sense]
    ) -> Verdict:
        raise NotImplementedError


@dataclass(frozen=True)
class Dominated(Rule):
    """mtray's rule. `first`: the first rung may end trials as well."""

    settings: EarlyStopping = BASIC
    first: bool = False

    def judge(
        self, fidelity: int, mine: Point, others: Sequence[Point], objectives: dict[str, Sense]
    ) -> Verdict:
        found = decide(self.settings, fidelity + self.first, mine, others, objectives)
        return found.stop, found.dominated_by


@dataclass(frozen=True)
class Halving(Rule):
    """Ray's ASHA (`_Bracket.on_result`) on the first objective: a trial ends below the quantile
    1 - 1 / `factor` of what was measured at the rung before. `rungs`: at these alone."""

    factor: int
    rungs: tuple[int, ...] = (0, 1)

    def judge(
        self, fidelity: int, mine: Point, others: Sequence[Point], objectives: dict[str, Sense]
    ) -> Verdict:
        if fidelity not in self.rungs or not others:
            return False, ()
        values = values_of([mine, *others], objectives)[:, 0]
        return bool(values[0] < np.percentile(values[1:], 100 * (1 - 1 / self.factor))), ()


@dataclass(frozen=True)
class ParetoHalving(Rule):
    """Successive halving by all objectives (Schmucker et al. 2021, "Multi-objective Asynchronous
    Successive Halving"): trials are sorted into fronts, within a front those far from the ones
    before come first, and a trial ends that is not in the first 1 / `factor`."""

    factor: int

    def judge(
        self, fidelity: int, mine: Point, others: Sequence[Point], objectives: dict[str, Sense]
    ) -> Verdict:
        count = len(others) + 1
        if count < self.factor:
            return False, ()
        return 0 in self.worse(values_of([mine, *others], objectives)), ()

    def worse(self, values: Array) -> set[int]:
        """Indices of those that are not in the first 1 / `factor`; values as for
        `pareto_order`."""
        order = pareto_order(values)
        return {i for place, i in enumerate(order) if place >= len(order) / self.factor}


@dataclass
class Oracle(Rule):
    """Knows all final values: ends a trial at its first rung if one that was begun and not ended is
    better in every objective at the end. What no rule could do better without losing a point of
    the front. `end_of`: a trial's true final values, shape (m,)."""

    end_of: Callable[[int], Array]
    kept: dict[int, Array] = field(default_factory=dict)

    def judge(
        self, fidelity: int, mine: Point, others: Sequence[Point], objectives: dict[str, Sense]
    ) -> Verdict:
        senses = tuple(objectives.values())
        end = maximised(self.end_of(mine.number)[None], senses)[0]
        if mine.may_end and any((known > end).all() for known in self.kept.values()):
            return True, ()
        self.kept[mine.number] = end
        return False, ()


def values_of(points: Sequence[Point], objectives: dict[str, Sense]) -> Array:
    """Values to be maximised, shape (points, m)."""
    values = [[p.objectives[name].value for name in objectives] for p in points]
    return maximised(values, tuple(objectives.values()))


def pareto_order(values: Array) -> list[int]:
    """Indices of `values`, to be maximised, shape (n, m): front by front, and in each the first,
    then always the one that is farthest from those before it (an epsilon-net)."""
    left, order = list(range(len(values))), []
    scaled = values / np.maximum(np.ptp(values, axis=0), 1e-12)
    while left:
        mask = non_dominated(values[left])
        front = [i for i, on in zip(left, mask, strict=True) if on]
        left = [i for i, on in zip(left, mask, strict=True) if not on]
        order += _far_apart(scaled, front, max(front, key=lambda i: float(values[i, 0])))
    return order


def _far_apart(scaled: Array, front: list[int], first: int) -> list[int]:
    """The front's indices, each the farthest from those before it."""
    at, chosen = scaled[front], [front.index(first)]
    gaps = np.full(len(front), np.inf)
    while len(chosen) < len(front):
        gaps = np.minimum(gaps, np.abs(at - at[chosen[-1]]).sum(axis=1))
        gaps[chosen[-1]] = -1.0
        chosen.append(int(np.argmax(gaps)))
    return [front[i] for i in chosen]
