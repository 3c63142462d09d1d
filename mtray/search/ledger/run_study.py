"""A run's Optuna study and its journal file: trials by number, the queue of waiting trials, and
their reported results."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from mtray.compat.optuna import set_constraints
from mtray.run_files import JOURNAL, STUDY_FILE
from mtray.schema import Study
from mtray.search.ledger.journal_file import RunJournal
from mtray.search.ledger.run_folder import OPTUNA
from mtray.search.ledger.trial_attributes import COST, OVER
from mtray.search.strategy.cost_aware import Observation
from mtray.search_space.shares import plain


def optuna_name(run_dir: Path, spec: Study) -> str:
    """The name of a run's Optuna study in its journal: the study's name, or another one if the
    study was changed after trials had run (`mtray.search.ledger.rebinding`)."""
    try:
        found = json.loads((run_dir / STUDY_FILE).read_text(encoding="utf-8"))
        return str(found.get(OPTUNA, spec.name))
    except (OSError, ValueError, AttributeError):  # none yet, or damage that is reported elsewhere
        return spec.name


class RunStudy:
    """The Optuna study of one process. `count` and `waiting` are counted here, because reading
    every trial is slow from thousands on."""

    def __init__(
        self,
        run_dir: Path,
        spec: Study,
        distributions: Mapping[str, BaseDistribution],
        name: str | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._distributions = {name: plain(d) for name, d in distributions.items()}
        self._storage = optuna.storages.JournalStorage(RunJournal(run_dir / JOURNAL))
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=name or optuna_name(run_dir, spec),
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(),
            directions=["maximize" if s == "max" else "minimize" for s in spec.objectives.values()],
        )
        self._study_id = self._storage.get_study_id_from_name(self._study.study_name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.set_metric_names(list(spec.objectives))
        self.count = len(self.trials())
        self.waiting = len(self.trials(TrialState.WAITING))

    @staticmethod
    def forget(run_dir: Path, name: str) -> None:
        """Delete the Optuna study of this name if the journal has one."""
        storage = optuna.storages.JournalStorage(RunJournal(run_dir / JOURNAL))
        if name in [known.study_name for known in storage.get_all_studies()]:
            storage.delete_study(storage.get_study_id_from_name(name))

    def copy(self, trial: FrozenTrial) -> None:
        """Copy a trial unchanged, under the next number."""
        self._storage.create_new_trial(self._study_id, template_trial=trial)
        self.count += 1
        self.waiting += trial.state == TrialState.WAITING

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """All trials by number, or those in one of `states`."""
        return list(self._study.get_trials(deepcopy=False, states=states or None))

    def trial(self, number: int) -> FrozenTrial:
        """One trial, without reading all of them."""
        return self._storage.get_trial(self._id_of(number))

    def _id_of(self, number: int) -> int:
        """The storage's id of a trial."""
        found: int = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        return found

    def note(self, trial: FrozenTrial, notes: Mapping[str, Any]) -> None:
        trial_id = self._id_of(trial.number)
        for name, value in notes.items():
            self._storage.set_trial_user_attr(trial_id, name, value)

    def add_running(self, params: Mapping[str, Any], notes: Mapping[str, Any]) -> int:
        """Add a trial as running without dispatching it; returns its number."""
        trial = FrozenTrial(
            number=-1, trial_id=-1, state=TrialState.RUNNING, value=None, params=dict(params),
            distributions=self._distributions, user_attrs=dict(notes), system_attrs={},
            intermediate_values={}, datetime_start=datetime.now(), datetime_complete=None,
        )  # fmt: skip
        # `add_trial` refuses a baseline outside the range, which is legitimate here
        self._storage.create_new_trial(self._study_id, template_trial=trial)
        self.count += 1
        return self.count - 1

    def enqueue(self, params: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a baseline may deliberately lie outside the range
            self._study.enqueue_trial(dict(params), user_attrs=dict(notes))
        self.count, self.waiting = self.count + 1, self.waiting + 1

    def take(self) -> FrozenTrial:
        """Dispatch the enqueued trial with the lowest number, with its enqueued parameters."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            number = self._study.ask(self._distributions).number
        self.waiting -= 1
        return self.trial(number)

    def requeue(self, trial: FrozenTrial) -> None:
        """Enqueue a running trial again, under its number."""
        self._storage.set_trial_state_values(self._id_of(trial.number), state=TrialState.WAITING)
        self.waiting += 1

    def tell_measured(self, trial: FrozenTrial, observation: Observation) -> None:
        """Report a trial as complete or as infeasible by a constraint."""
        self.note(
            trial,
            {COST: observation.cost} | ({OVER: dict(observation.over)} if observation.over else {}),
        )
        # Optuna's own constraints, for its dashboard and samplers
        set_constraints(
            self._study, self._id_of(trial.number), observation.over, for_dashboard=True
        )
        self._study.tell(trial.number, list(observation.values))

    def tell_without_values(
        self, trial: FrozenTrial, state: TrialState, notes: Mapping[str, Any]
    ) -> None:
        """Report a trial as failed or pruned, never with a value, which could put it on the
        front."""
        self.note(trial, notes)
        self._study.tell(trial.number, state=state)
