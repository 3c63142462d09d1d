"""The Optuna study is the only state of the search; this is the only file that knows its
journal.

A trial is handed out (`Ledger.next`), runs elsewhere, leaves a record in its folder, and is then
told (`Ledger.tell`). A record that was written but not told before a crash is told on the next
start; a trial without a record is handed out again under its number.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from mtray.report.records import BASE_NUMBER, read_record, result_path
from mtray.schema import Recipe, Study, TrialRecord
from mtray.search.references import nearest, reference_recipes
from mtray.search.samplers import STARTUP, space_filling
from mtray.search.suggest import Ahead, Suggester
from mtray.space import Space
from mtray.trial import Job

JOURNAL = "study.journal"
NOTES = "sampler"  # what the sampler noted on its suggestion


def mend(path: Path) -> None:
    """Undo what a process that was killed while writing the journal left: half a line, and Optuna's
    lock.

    Only for who holds the run's lock.
    """
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if path.is_file():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)


class Ledger:
    """Hands out trials and takes their results. One process at a time (the run folder is
    locked)."""

    def __init__(self, run_dir: Path, study: Study, space: Space) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        mend(run_dir / JOURNAL)
        backend = optuna.storages.journal.JournalFileBackend(str(run_dir / JOURNAL))
        senses = list(study.objectives.values())
        self._study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend), study_name=study.name,
            load_if_exists=True, sampler=optuna.samplers.RandomSampler(),
            directions=["maximize" if s == "max" else "minimize" for s in senses],
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.set_metric_names(list(study.objectives))
        self._run_dir, self._spec, self._space = run_dir, study, space
        self._distributions = space.distributions()
        self._suggester = Suggester(self._distributions, senses, study.sampler, study.seed)
        self._ahead = Ahead(self._suggester)
        self._enqueue_start()
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            notes = trial.user_attrs.get(NOTES)
            self._suggester.add(trial.number, trial.params, trial.values, attributes=notes)
        self._take_back()

    def _enqueue_start(self) -> None:
        """Put the first trials in line: all in a new study, what is missing where an earlier
        process was cut off."""
        start = [*reference_recipes(self._space, self._spec).items()]
        points = space_filling(self._distributions, STARTUP, self._spec.seed)
        start += [("search", params) for params in points]
        for role, exact in start[len(self._study.get_trials(deepcopy=False)) :]:
            # a baseline may lie outside the searched range, or set what the space fixes, on purpose
            params = {name: nearest(d, exact[name]) for name, d in self._distributions.items()}
            attributes: dict[str, Any] = {"role": role}
            if params != exact:
                attributes["exact"] = exact
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._study.enqueue_trial(params, user_attrs=attributes)

    def _take_back(self) -> None:
        """What an earlier process left running is told from its record, or waits to be handed out
        under its number.

        A base model that could not be measured is measured again: without it every trial fails.
        """
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if result_path(self._run_dir, trial.number).is_file():
                self.tell(trial.number)
            else:
                self.release(trial.number)
        base = result_path(self._run_dir, BASE_NUMBER)
        if base.is_file() and read_record(base).state != "complete":
            base.unlink()

    def running_numbers(self) -> list[int]:
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [t.number for t in trials]

    @property
    def study(self) -> Study:
        return self._spec

    def end_without_record(self, number: int, stopped: bool) -> None:
        """A trial that left no record: given back when the sweep was stopped, a failure
        otherwise."""
        if stopped and not result_path(self._run_dir, number).is_file():
            self.release(number)
        else:
            self.tell(
                number, "the trial's process ended without a record (killed, or out of memory?)"
            )

    def release(self, number: int) -> None:
        """Give a trial back unfinished; the next start hands it out again with the same number and
        recipe."""
        trial = self._study.get_trials(deepcopy=False)[number]
        if trial.state == TrialState.RUNNING:
            self._study._storage.set_trial_state_values(trial._trial_id, state=TrialState.WAITING)
            self._suggester.drop(number)

    @property
    def finished(self) -> int:
        return sum(t.state.is_finished() for t in self._study.get_trials(deepcopy=False))

    @property
    def running(self) -> int:
        return len(self.running_numbers())

    def all_failed(self, at_least: int) -> bool:
        """Whether `at_least` trials have ended and none of them well."""
        states = [t.state for t in self._study.get_trials(deepcopy=False) if t.state.is_finished()]
        return len(states) >= at_least and TrialState.COMPLETE not in states

    def needs_base(self) -> bool:
        return not result_path(self._run_dir, BASE_NUMBER).is_file()

    def exhausted(self, total: int) -> bool:
        """Whether `total` trials are finished or running."""
        return self.finished + self.running >= total

    def next(self, total: int, wait: bool = True) -> Job | None:
        """The next trial to run; None when `total` are finished or running, or, unless `wait`,
        while the suggestion is still being worked out."""
        if self.exhausted(total):
            return None
        trials = self._study.get_trials(deepcopy=False)
        if not any(t.state == TrialState.WAITING for t in trials):
            found = self._ahead.take(len(trials), wait)
            if found is None:
                return None
            params, notes = found
            self._study.enqueue_trial(params, user_attrs={"role": "search", NOTES: notes})
        # the trial in line with the lowest number, with the parameters it was put in line with
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a baseline may lie outside the range, on purpose
            trial = self._study.ask(self._distributions)
        self._suggester.add(trial.number, trial.params, attributes=trial.user_attrs.get(NOTES))
        recipe = self._space.recipe({**trial.params, **trial.user_attrs.get("exact", {})})
        return Job(trial.number, trial.user_attrs.get("role", "search"), recipe, self._spec.seed)

    def look_ahead(self, total: int) -> None:
        """Begin to work out the next suggestion while trials run; what ends meanwhile it does not
        know, which is the price for no worker waiting."""
        trials = self._study.get_trials(deepcopy=False)
        waiting = any(t.state == TrialState.WAITING for t in trials)
        if not waiting and not self.exhausted(total):
            self._ahead.refresh(len(trials))

    def tell(
        self, number: int, reason: str = "the trial ended without a record"
    ) -> TrialRecord | None:
        """Tell the study what a trial's record says; a failure is told as one and never as a
        number."""
        if number == BASE_NUMBER:
            return None
        trial = self._study.get_trials(deepcopy=False)[number]
        if trial.state.is_finished():
            return None
        path = result_path(self._run_dir, number)
        record = read_record(path) if path.is_file() else None
        if record is not None and record.state == "complete":
            values = [record.objectives[name].value for name in self._spec.objectives]
            self._study.tell(number, values)
            self._suggester.add(number, trial.params, values)
            return record
        storage = self._study._storage
        storage.set_trial_user_attr(trial._trial_id, "reason", record.reason if record else reason)
        self._study.tell(number, state=TrialState.FAIL)
        self._suggester.drop(number)
        return record


def base_job(study: Study) -> Job:
    return Job(BASE_NUMBER, "base", Recipe(parallel_size=0), study.seed)
