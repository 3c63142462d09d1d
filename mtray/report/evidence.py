"""What a run has found out about its recipes, as arrays for models of it: by how much each differs
from the untouched model, and how surely."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import numpy.typing as npt

from mtray.errors import RunError
from mtray.report.abilities import ability_measures
from mtray.report.differences import joint
from mtray.report.groups import Draws, Group, complete_trials, group_trials, measured, no_draws
from mtray.run_files import BASE_NUMBER
from mtray.schema import TrialRecord

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """Every trained recipe (n) of a run in some measures (k), as differences to the untouched model
    on the same segments.

    - `records`: of each recipe that of its first trial, with the mean duration over its seeds as
      its `seconds`; what it was measured at is in `gaps`.
    - `seeds`: of each recipe, how many.
    - `names`: of the measures, in their own units and senses.
    - `base`, shape (k,): the untouched model's values.
    - `gaps`, shape (n, k): a recipe's value minus the untouched model's.
    - `errors`, shape (draws, n, k): what the gaps may be off by, drawn together for all recipes and
      measures: segments by the paired bootstrap, seeds by `mtray.analysis.seed_variance`.
    - `seed_deviation`, shape (k,): standard deviation over seeds of one training's value on these
      segments, the bootstrap's part among it: what more seeds would average out.
    """

    records: tuple[TrialRecord, ...]
    seeds: tuple[int, ...]
    names: tuple[str, ...]
    base: Array
    gaps: Array
    errors: Array
    seed_deviation: Array

    @property
    def numbers(self) -> tuple[int, ...]:
        """Of the trials that others repeat."""
        return tuple(record.number for record in self.records)

    def record(self, number: int) -> TrialRecord:
        """Of one recipe, by number."""
        return self.records[self.numbers.index(number)]

    @property
    def baselines(self) -> tuple[int, ...]:
        """Places of the recipes that nobody had to search for."""
        return tuple(i for i, record in enumerate(self.records) if record.role != "search")

    def base_of(self, names: Iterable[str]) -> dict[str, float]:
        """The untouched model's value of every named measure."""
        return {name: float(self.base[self.names.index(name)]) for name in names}

    def gap(self, name: str) -> Array:
        """Of one measure, shape (n,)."""
        return self.gaps[:, self.names.index(name)]

    def covariance(self, name: str) -> Array:
        """Of the gaps' errors in one measure, shape (n, n). Recipes share the untouched model and
        the segments, so it is not diagonal."""
        errors = self.errors[:, :, self.names.index(name)]
        centred = errors - errors.mean(axis=0)
        return np.asarray(centred.T @ centred / (len(errors) - 1))


def evidence(
    records: Iterable[TrialRecord],
    objectives: Sequence[str],
    draws: Draws = no_draws,
    run_dir: Path = Path(),
) -> Evidence:
    """Of the objectives, and of every ability that retention averages in all trials.

    RunError where the untouched model is not measured, or nothing is trained."""
    groups = group_trials(complete_trials(records))
    base = next((g for g in groups if g.original.number == BASE_NUMBER), None)
    if base is None:
        raise RunError(f"{run_dir}: the base model is not measured, so nothing can be compared")
    groups = [g for g in groups if g.n_seeds]
    if not groups:
        raise RunError(f"{run_dir}: no trained recipe is complete yet")
    names = list(dict.fromkeys([*objectives, *ability_measures(base.original.scores)]))
    names = [n for n in names if all(n in measured(t) for g in groups for t in g.trials)]
    if missing := [n for n in objectives if n not in names]:
        raise RunError(f"{run_dir}: not every complete trial has {missing[0]!r}")
    found = joint([base, *groups], names, draws)
    return Evidence(
        records=tuple(_record(g) for g in groups),
        seeds=tuple(g.n_seeds for g in groups),
        names=tuple(names),
        base=found.values[0],
        gaps=found.values[1:] - found.values[0],
        errors=found.errors[:, 1:] - found.errors[:, :1],
        seed_deviation=np.sqrt(found.spread.variance),
    )


def _record(group: Group) -> TrialRecord:
    total = fmean(trial.total_seconds for trial in group.seeds)
    return group.original.model_copy(update={"seconds": {"total": total}})
