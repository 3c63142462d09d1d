"""Which trials' weights are kept in a run: those on the current front."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from mtray.analysis.pareto import maximised, non_dominated
from mtray.report.groups import Group, complete_trials, group_trials, mean_values
from mtray.report.records import read_records
from mtray.run_files import ANY_WEIGHTS_FILE, trial_dir, weights_file
from mtray.schema import Recipe, Role, Study, TrialRecord
from mtray.search.ledger.record_family import pending


def trained_on_front(records: Sequence[TrialRecord], study: Study) -> set[tuple[int, str]]:
    """The trained weights behind the points of the front, at any alpha: the trial's number and the
    name of its weights file, which gives the share of the steps. Includes all replicates of a
    point."""
    groups = group_trials(complete_trials(records))
    return _trained(groups, mean_values(groups, list(study.objectives)), study) if groups else set()


def _trained(groups: Sequence[Group], values: np.ndarray, study: Study) -> set[tuple[int, str]]:
    """As `trained_on_front`, from the groups and their means, shape (groups, objectives)."""
    on = non_dominated(maximised(values, list(study.objectives.values())))
    members = [t for group, is_on in zip(groups, on, strict=True) if is_on for t in group.trials]
    return {(t.training_number, weights_file(t.recipe.stop_after)) for t in members}


def drop_dominated(run_dir: Path, study: Study) -> None:
    """Delete the weights of ended trials that are on no point of the front, unless all are kept;
    running trials keep theirs."""
    if study.training.keep_weights == "front":
        FrontWeights(run_dir, study).add(read_records(run_dir).records)


class FrontWeights:
    """The weights that a run keeps while its trials end. Every record is looked at once: reading
    all of them whenever one is added takes seconds from thousands on."""

    def __init__(self, run_dir: Path, study: Study) -> None:
        self._run_dir, self._study = run_dir, study
        self._groups: dict[tuple[Role, Recipe], Group] = {}
        self._means: dict[tuple[Role, Recipe], np.ndarray] = {}
        self._ended: set[int] = set()  # trials that may still have weights

    def add(self, records: Iterable[TrialRecord]) -> None:
        """Further records of the run, and what is dominated now deleted."""
        found = list(records)
        self._ended.update(record.number for record in found)
        for record in complete_trials(found):
            key = record.role, record.recipe
            known = self._groups[key].trials if key in self._groups else ()
            others = [other for other in known if other.number != record.number]
            (self._groups[key],) = group_trials([*others, record])
            self._means[key] = mean_values([self._groups[key]], list(self._study.objectives))[0]
        self._drop()

    def _drop(self) -> None:
        kept: set[tuple[int, str]] = set()
        if self._groups:
            kept = _trained(
                [*self._groups.values()], np.array([*self._means.values()]), self._study
            )
        on_front = {number for number, _ in kept}
        for number in [*self._ended]:
            # a further point of the trial may be on the front
            if not pending(self._run_dir, number).is_file():
                self._ended.discard(number)
                for file in trial_dir(self._run_dir, number).glob(ANY_WEIGHTS_FILE):
                    if (number, file.name) not in kept:
                        file.unlink(missing_ok=True)
        self._ended |= on_front  # they may be dominated later
