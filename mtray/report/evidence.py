"""Measured results of a run's recipes as arrays for models: differences from the base model and
their errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean

import numpy as np
import numpy.typing as npt

from mtray.errors import RunError
from mtray.report.abilities import ability_measures
from mtray.report.differences import joint
from mtray.report.groups import (
    Draws,
    Group,
    complete_trials,
    group_trials,
    has_scores,
    measured,
    no_draws,
)
from mtray.report.units import in_points
from mtray.run_files import BASE_NUMBER
from mtray.schema import TrialRecord

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """Every trained recipe (n) of a run in some measures (k), as differences from the base model on
    the same segments.

    - `records`: each recipe's first trial, with the mean duration over its seeds as `seconds`; its
      measurements are in `gaps`.
    - `seeds`: number of seeds of each recipe.
    - `names`: the measures, in their own units and directions.
    - `base`, shape (k,): the base model's values.
    - `gaps`, shape (n, k): a recipe's value minus the base model's.
    - `errors`, shape (draws, n, k): draws of the gaps' errors, joint over all recipes and measures:
      segments by the paired bootstrap, seeds by `mtray.analysis.seed_variance`.
    - `seed_deviation`, shape (k,): standard deviation over seeds of one training's value on these
      segments, including the bootstrap's part: what more seeds would average out.
    """

    records: tuple[TrialRecord, ...]
    seeds: tuple[int, ...]
    names: tuple[str, ...]
    base: Array
    gaps: Array
    errors: Array
    seed_deviation: Array

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the trials that others repeat."""
        return tuple(record.number for record in self.records)

    def record(self, number: int) -> TrialRecord:
        """The record of one recipe, by number."""
        return self.records[self.numbers.index(number)]

    @property
    def baselines(self) -> tuple[int, ...]:
        """Indices of the baselines."""
        return tuple(i for i, record in enumerate(self.records) if record.role != "search")

    def base_of(self, names: Iterable[str]) -> dict[str, float]:
        """The base model's value of every named measure."""
        return {name: float(self.base[self.names.index(name)]) for name in names}

    def in_points(self, name: str) -> bool:
        """Whether a measure is in points, such as BLEU."""
        scores = (measured(record).get(name) for record in self.records)
        return in_points(score for score in scores if score is not None)

    def gap(self, name: str) -> Array:
        """The gaps of one measure, shape (n,)."""
        return self.gaps[:, self.names.index(name)]

    def covariance(self, name: str) -> Array:
        """The covariance of the gaps' errors in one measure, shape (n, n). Recipes share the base
        model and the segments, so it is not diagonal."""
        if name not in self._covariances:
            errors = self.errors[:, :, self.names.index(name)].T
            centred = errors - errors.mean(axis=1, keepdims=True)
            self._covariances[name] = np.asarray(centred @ centred.T / (errors.shape[1] - 1))
        return self._covariances[name]

    def only(self, places: Sequence[int]) -> Evidence:
        """The evidence of some of the recipes."""
        return replace(
            self, records=tuple(self.records[i] for i in places),
            seeds=tuple(self.seeds[i] for i in places),
            gaps=self.gaps[places], errors=self.errors[:, places],
        )  # fmt: skip

    @cached_property
    def _covariances(self) -> dict[str, Array]:
        """Those that were asked for, since each takes long with thousands of recipes."""
        return {}


def evidence(
    records: Iterable[TrialRecord],
    objectives: Sequence[str],
    draws: Draws = no_draws,
    run_dir: Path = Path(),
    abilities: bool = True,
) -> Evidence:
    """The evidence of the objectives and, with `abilities`, of every ability that retention
    averages in all trials.

    Raises RunError if the base model is not measured or nothing is trained.
    """
    groups = group_trials(complete_trials(records))
    base = next((g for g in groups if g.original.number == BASE_NUMBER), None)
    if base is None:
        raise RunError(f"{run_dir}: the base model is not measured, so nothing can be compared")
    groups = [g for g in groups if g.n_seeds]
    if not groups:
        raise RunError(f"{run_dir}: no trained recipe is complete yet")
    others = ability_measures(base.original.scores) if abilities else []
    names = list(dict.fromkeys([*objectives, *others]))
    names = [n for n in names if all(has_scores(t, [n]) for g in groups for t in g.trials)]
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
