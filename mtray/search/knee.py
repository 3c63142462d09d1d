"""Advice from the knee of the measured front alone: it is trained again, and beyond the budget the
two recipes that may be it are raced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mtray.analysis.pareto import knee, maximised, non_dominated
from mtray.report.differences import joint
from mtray.report.draws import draws_of
from mtray.report.groups import Group, complete_trials, group_trials
from mtray.report.records import trial_name
from mtray.schema import Study, TrialRecord
from mtray.search.confirm import Advice, Proposal

Array = npt.NDArray[np.float64]
LEVEL = 0.95  # where the budget names none


def knee_advice(run_dir: Path, study: Study, names: Iterable[str]) -> Advice:
    """`names`: of the space's parameters."""
    found = Knee(run_dir, study, tuple(names))
    return Advice(found.recommend, found.settle)


@dataclass(frozen=True)
class Knee:
    run_dir: Path
    study: Study
    names: tuple[str, ...]

    def recommend(self, records: Sequence[TrialRecord]) -> Proposal | None:
        """The knee's recipe with another seed."""
        groups = _trained(records)
        if not groups:
            return None
        values, _ = self._values(groups)
        return self._again(groups[knee(values)], "the knee of the front, once more")

    def settle(
        self, records: Sequence[TrialRecord], pending: Sequence[Proposal]
    ) -> Proposal | None:
        """Of the two likeliest to be best the one with fewer seeds, those that run among them; None
        once one is with the budget's probability."""
        groups = _trained(records)
        if len(groups) < 2:
            return None
        chances = best_chances(*self._values(groups))
        first, second = np.argsort(-chances, kind="stable")[:2]
        if chances[first] >= (self.study.budget.settle or LEVEL):
            return None
        more = Counter(p.repeats_of for p in pending)
        counts = [g.n_seeds + more[g.original.number] for g in groups]
        chosen = second if counts[second] < counts[first] else first
        one, other = (trial_name(groups[i].original.number) for i in (first, second))
        why = f"trial {one} is best with P = {chances[first]:.2f}, trial {other} next"
        return self._again(groups[chosen], why)

    def _values(self, groups: Sequence[Group]) -> tuple[Array, Array]:
        """Means, shape (n, m), more is better, and their joint errors, (draws, n, m)."""
        senses = list(self.study.objectives.values())
        found = joint(groups, list(self.study.objectives), draws_of(self.run_dir))
        return maximised(found.values, senses), maximised(found.errors, senses)

    def _again(self, group: Group, why: str) -> Proposal:
        recipe = group.original.recipe
        params = {name: getattr(recipe, name) for name in self.names}
        return Proposal(params, group.original.number, why)


def _trained(records: Sequence[TrialRecord]) -> list[Group]:
    return [g for g in group_trials(complete_trials(records)) if g.n_seeds]


def best_chances(values: Array, errors: Array) -> Array:
    """How likely each point is to have the greatest sum of objectives, each scaled to [0, 1] over
    the front of `values`, shape (n, m), more is better; (n,). `errors`, shape (draws, n, m)."""
    front = values[non_dominated(values)]
    extent = np.ptp(front, axis=0)
    scale = np.divide(1.0, extent, out=np.zeros_like(extent), where=extent > 0)
    utility = ((values + errors) * scale).sum(axis=2)
    best = utility.argmax(axis=1)
    return np.asarray(np.bincount(best, minlength=len(values)) / len(errors))
