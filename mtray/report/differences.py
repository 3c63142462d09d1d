"""Differences between recipes and their uncertainty. One set of joint errors serves the whole
report of a run, so that a pair's interval, the interval that allows for choosing among all pairs,
and the probability of being on the front agree.

The error of a recipe's mean is that of the segments, from the trials' paired bootstrap draws (or,
without draws, from their intervals, independently), and that of the seeds
(`mtray.analysis.seed_variance`), drawn jointly for all recipes and objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mtray.analysis.pareto import front_probability, interval_draws, maximised
from mtray.analysis.row_quantiles import interval_ends
from mtray.analysis.seed_variance import SeedVariance, seed_draws
from mtray.report.groups import (
    Draws,
    Group,
    mean_values,
    no_draws,
    paired_draws,
    score_of,
    seed_variance,
    training_shares,
)
from mtray.schema import Sense

Array = npt.NDArray[np.float64]
DRAWS = 2000  # minimum
ROWS = 64  # recipes at a time, whose draws fit in the cache


@dataclass(frozen=True)
class Difference:
    """`gap` and its 95 % interval, in the objective's unit."""

    gap: float
    low: float
    high: float

    def turned(self) -> Difference:
        """The difference with the opposite sign."""
        return Difference(-self.gap, -self.high, -self.low)


@dataclass(frozen=True)
class Joint:
    """Means of all recipes with their joint errors.

    - `numbers`: the groups' first trials.
    - `names`: the objectives.
    - `values`, shape (groups, m), in the objectives' own units and directions.
    - `errors`, shape (draws, groups, m): draws of the means' errors.
    - `spread`: variance over seeds.
    - `paired`: whether trials are compared on the same draws of the segments.
    """

    numbers: tuple[int, ...]
    names: tuple[str, ...]
    values: Array
    errors: Array
    spread: SeedVariance
    paired: bool

    @cached_property
    def _place(self) -> dict[int, int]:
        return {number: i for i, number in enumerate(self.numbers)}

    def difference(self, a: int, b: int, objective: str) -> Difference:
        """Recipe `a` minus recipe `b`, by number, with the interval of this pair alone."""
        return self._differences([self._place[a]], b, objective)[0]

    def differences(self, b: int, objective: str) -> dict[int, Difference]:
        """The same for every recipe, by number."""
        found = self._differences(range(len(self.numbers)), b, objective)
        return dict(zip(self.numbers, found, strict=True))

    @cached_property
    def _known_sides(self) -> dict[tuple[int, int], Array]:
        return {}

    def _all_sides(self, j: int, k: int) -> Array:
        """`_sides` of all rows; kept, since a report asks several times for those to a baseline."""
        if (j, k) not in self._known_sides:
            self._known_sides[j, k] = self._sides(slice(None), j, k)
        return self._known_sides[j, k]

    def _differences(self, rows: Sequence[int], b: int, objective: str) -> list[Difference]:
        j, k = self._place[b], self.names.index(objective)
        gaps = self.values[rows, k] - self.values[j, k]
        few = len(rows) == 1 and (j, k) not in self._known_sides
        low, high = (
            self._sides(slice(rows[0], rows[0] + 1), j, k)
            if few
            else (self._all_sides(j, k)[:, rows])
        )
        ends = np.stack([gaps, gaps + low, gaps + high], axis=1)
        return [Difference(*row) for row in ends.tolist()]

    def _sides(self, rows: slice, j: int, k: int) -> Array:
        """How far the 95 % intervals of the rows' differences to row `j` reach below and above
        them in objective `k`, shape (2, rows)."""
        low, high = interval_ends(self._by_point[k, rows], self._by_point[k, j])
        return np.stack([np.minimum(0.0, low), np.maximum(0.0, high)])

    @cached_property
    def _by_point(self) -> Array:
        """The errors with the draws of a point side by side, shape (m, groups, draws): for their
        quantiles this is several times as fast."""
        return np.ascontiguousarray(self.errors.T)

    def stretch(self, candidates: Sequence[int], others: Sequence[int]) -> float:
        """The factor, at least 1, by which to widen the intervals of all pairs of a candidate and
        another recipe, in all objectives, so that 95 % of the draws lie within all of them
        simultaneously.

        The intervals then hold for whichever pair is picked (max-t over joint draws; Westfall &
        Young 1993, "Resampling-Based Multiple Testing"; Hothorn et al. 2008, Biometrical Journal
        50:346). In contrast to Bonferroni's they account for the recipes and segments that pairs
        share.
        """
        rows = [self._place[n] for n in candidates]
        if not rows or not len(others):
            return 1.0
        most = np.zeros(len(self.errors))
        for j in (self._place[n] for n in others):
            for k, errors in enumerate(self._by_point):
                sides = self._all_sides(j, k)
                # an error on the other side gives a negative share
                shares = np.divide(1.0, sides, out=np.zeros_like(sides), where=sides != 0)
                for start in range(0, len(rows), ROWS):
                    some = rows[start : start + ROWS]
                    apart = errors[some] - errors[j]
                    for share in shares[:, some]:
                        np.maximum(most, (apart * share[:, None]).max(axis=0), out=most)
        return max(1.0, float(np.quantile(most, 0.95)))

    def front_chances(self, senses: Sequence[Sense]) -> Array:
        """Each recipe's probability of being on the front, shape (groups,)."""
        return front_probability(maximised(self.values + self.errors, senses))


def widened(found: Difference, by: float) -> Difference:
    """The same difference with its interval widened by this factor on either side."""
    below, above = found.gap - found.low, found.high - found.gap
    return Difference(found.gap, found.gap - by * below, found.gap + by * above)


def joint(
    groups: Sequence[Group],
    names: Sequence[str],
    draws: Draws = no_draws,
    least: int = DRAWS,
    spread: SeedVariance | None = None,
) -> Joint:
    """The joint errors of all groups, whose trials have all of the named objectives. `spread`: the
    variance over seeds, if it is known from more than these groups."""
    values = mean_values(groups, names)
    trials = [trial for group in groups for trial in group.seeds]
    paired = paired_draws(trials, names, draws)
    segments = (
        _independent(groups, names, least) if paired is None else _means(groups, values, paired)
    )
    repeats = -(-least // len(segments))
    spread = spread or seed_variance(groups, names, draws)
    segments = np.tile(segments.T, repeats).T if repeats > 1 else segments
    segments += seed_draws(spread, training_shares(groups), len(segments))
    numbers = tuple(group.original.number for group in groups)
    return Joint(numbers, tuple(names), values, segments, spread, paired is not None)


def _means(groups: Sequence[Group], values: Array, paired: Array) -> Array:
    """Errors of the groups' means over the segments, from draws of shape (resamples, trials, m)."""
    return np.asarray((_group_means(groups, paired.T, axis=1) - values.T[:, :, None]).T)


def _group_means(groups: Sequence[Group], values: Array, axis: int = -1) -> Array:
    """Means over the seeds of each group along an axis of all groups' seeds."""
    counts = np.array([len(group.seeds) for group in groups])
    sums = np.add.reduceat(values, np.cumsum(counts) - counts, axis=axis)
    return np.asarray(np.moveaxis(np.moveaxis(sums, axis, -1) / counts, -1, axis))


def _independent(groups: Sequence[Group], names: Sequence[str], draws: int) -> Array:
    """The same, drawn for each mean from its trials' averaged interval."""
    scores = [score_of(t, name) for name in names for g in groups for t in g.seeds]
    parts = np.array([(s.value, s.low, s.high) for s in scores]).T.reshape(3, len(names), -1)
    value, low, high = np.moveaxis(_group_means(groups, parts), 1, 2)
    return interval_draws(np.zeros_like(value), low - value, high - value, draws)


def better_by(found: Difference, sense: Sense) -> Difference:
    """The difference with its sign changed where necessary, so that positive is better."""
    return found if sense == "max" else found.turned()
