"""Adapter from Tune's searcher interface to the ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from mtray.errors import RunError, TrialMoved
from mtray.report.records import read_records, write_record
from mtray.run_files import BASE_NUMBER, trial_dir
from mtray.schema import TrialRecord
from mtray.search.execution.nodes import SEEN, LossInquiry
from mtray.search.execution.worker_logs import places_record
from mtray.search.ledger.kept_weights import FrontWeights
from mtray.search.ledger.ledger import Ledger
from mtray.search.ledger.stopwatch import kept_time, since_attempts
from mtray.search.ledger.trial_failures import (
    MOVED,
    Attempt,
    attempt,
    classify,
    failed_record,
    full_disk_error,
    full_disk_reason,
    is_disk_full,
    may_run_again,
    one_line,
    why_to_give_up,
    with_attempts,
)
from mtray.search.ledger.trial_scratch import delete_scratch
from mtray.search.strategy.stop_criteria import enough
from mtray.trial.job import Job, base_job


@dataclass
class Limits:
    """When no further trial is started.

    enough: for a reason that lets running trials finish.
    stopped: running trials stop at their next step.
    fatal: an error ends the sweep.
    idle_seconds: how long a free place waited for a suggestion.
    paused: no trial starts, until it is lifted.
    closed: Tune was told that there are no more trials, which is final.
    lock: held while a trial is chosen, and while a request to the sweep changes these limits.
    """

    trials: int
    until: float | None = None  # of time.monotonic()
    why_until: str = "the time given by --max-minutes is over"
    stopped: bool = False
    reason: str = ""
    fatal: bool = False
    idle_seconds: float = 0.0
    enough: bool = False
    paused: bool = False
    closed: bool = False
    lock: Any = field(default_factory=threading.RLock, repr=False, compare=False)

    def over(self) -> bool:
        if self.until is not None and time.monotonic() > self.until:
            self.reason = self.reason or self.why_until
            return True
        return self.stopped or self.enough

    def no_more(self, reason: str) -> None:
        """Start no further trial; running ones finish."""
        self.enough, self.reason = True, self.reason or reason

    def stop(self, reason: str, fatal: bool = False) -> None:
        self.stopped, self.reason, self.fatal = True, reason, fatal


@dataclass(frozen=True)
class Events:
    """Callbacks for events of the sweep.

    abandoned: takes the number of a trial whose own process was lost: nothing waits for its job.
    lost: takes a trial's number and why it runs again.
    halt: running trials are to stop at their next step.
    places: returns how many trials may run at a time now.
    moved: returns why a trial's own process left its machine; empty if it did not say.
    """

    started: Callable[[Job], None] = lambda job: None
    ended: Callable[[TrialRecord], None] = lambda record: None
    abandoned: Callable[[int], None] = lambda number: None
    lost: Callable[[int, str], None] = lambda number, reason: None
    halt: Callable[[], None] = lambda: None
    places: Callable[[], float] = lambda: float("inf")
    moved: Callable[[int], str] = lambda number: ""


class StudySearcher(Searcher):  # type: ignore[misc]
    """Gives Tune the ledger's trials and reports the trials' records to the ledger. The first trial
    is the base model."""

    def __init__(self, ledger: Ledger, limits: Limits, events: Events, run_dir: Path) -> None:
        super().__init__()
        self._ledger, self._limits, self._events, self._run_dir = ledger, limits, events, run_dir
        self._numbers: dict[str, int] = {}
        self._base_pending = ledger.needs_base()
        self._base_lost: list[Attempt] = []
        self._jobs: dict[int, Job] = {}
        self._ended: list[TrialRecord] = []
        self._had_complete = ledger.completed > 0
        self._begun: dict[int, float] = {}  # when each was dispatched, of time.monotonic()
        self._lost: dict[int, tuple[Job, LossInquiry]] = {}
        self._waiting_since = 0.0
        budget, keeps = ledger.study.budget, ledger.study.training.keep_weights
        self._stops_early = budget.device_hours is not None or budget.patience is not None
        self._weights = FrontWeights(run_dir, ledger.study) if keeps == "front" else None
        # read once: from thousands on, reading all records whenever one is added takes seconds
        self._records: dict[int, TrialRecord] = {}
        if self._stops_early or self._weights:
            self._know(read_records(run_dir).records)
        self._stop_when_enough()

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its searcher to restore a run; ours has no state to keep beside the Optuna
        # study
        return {}

    def suggest(self, trial_id: str) -> Any:
        with self._limits.lock:
            try:
                found = self._suggest(trial_id)
            except OSError as error:
                self._stop_on_full_disk(error)
                found = Searcher.FINISHED
            self._limits.closed = self._limits.closed or found == Searcher.FINISHED
            return found

    def _suggest(self, trial_id: str) -> Any:
        self._decide_lost()
        if self._limits.over():
            return Searcher.FINISHED
        # trials that run may wait for the base model's answers
        if not self._base_pending and len(self._numbers) >= self._events.places():
            return None
        if self._base_pending:
            if self._limits.paused and not self._numbers:
                return None
            self._base_pending = False
            attempts = tuple(self._base_lost)
            job: Job | None = replace(base_job(self._ledger.study), attempts=attempts)
        else:
            if self._ledger.exhausted(self._limits.trials):
                # a running trial may be lost and dispatched again
                return None if self._numbers or self._lost else Searcher.FINISHED
            if self._limits.paused:
                return None
            job = self._ledger.next(self._limits.trials, wait=False)
        if job is None:
            self._waiting_since = self._waiting_since or time.monotonic()
            return None  # Tune asks again; the loop goes on meanwhile
        if self._waiting_since:
            self._limits.idle_seconds += time.monotonic() - self._waiting_since
            self._waiting_since = 0.0
        self._ledger.look_ahead(self._limits.trials)
        self._numbers[trial_id], self._jobs[job.number] = job.number, job
        self._begun[job.number] = time.monotonic()
        SEEN.look()
        self._events.started(job)
        return {"job": job}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        number = self._numbers.pop(trial_id, None)
        if number is None:
            return
        job = self._jobs.pop(number)
        try:
            if (result or {}).get("state") == "disk_full":
                raise full_disk_error()
            record = self._ledger.records.read(number)
            if record is not None:
                self._take(record)
            else:
                self._without_record(job)
        except OSError as full:
            self._stop_on_full_disk(full)

    def _without_record(self, job: Job) -> None:
        """Handle a trial that left no record: released if the sweep is being stopped, otherwise
        asked why, which may take as long as Ray needs to notice that a machine is gone."""
        self._events.abandoned(job.number)
        if self._limits.stopped:
            self._release(job)
            return
        if why := self._events.moved(job.number):
            self._after_loss(job, TrialMoved(why))
            return
        nodes = SEEN.recent(self._begun[job.number])
        what = "the trial's own process ended without a record"
        self._lost[job.number] = job, LossInquiry(what, nodes)
        self._decide_lost()

    def _release(self, job: Job) -> None:
        if job.number != BASE_NUMBER:
            self._ledger.give_back(job.number)

    def _decide_lost(self) -> None:
        """Enqueue lost trials again whose cause is known by now; those that were lost too often
        have failed."""
        for number, (job, inquiry) in [*self._lost.items()]:
            if self._limits.stopped:
                del self._lost[number]
                self._release(job)
            elif (error := inquiry.found()) is not None:
                del self._lost[number]
                if (record := self._after_loss(job, error)) is not None:
                    self._take(record)

    def _after_loss(self, job: Job, error: Exception) -> TrialRecord | None:
        """The record of a trial that was lost too often; None if it runs again."""
        reason_class = classify(error)
        reason = str(error) if reason_class == MOVED else one_line(error)
        folder = trial_dir(self._run_dir, job.number)
        if job.number == BASE_NUMBER:
            again = self._base_pending = may_run_again(reason_class, self._base_lost)
            seconds = since_attempts(folder, self._base_lost)
            self._base_lost.append(attempt(reason_class, reason, "again from the start", seconds))
        else:
            again = self._ledger.lose(job.number, reason_class, reason)
        if again:
            self._events.lost(job.number, reason)
            return None
        record = with_attempts(failed_record(job, error, kept_time(folder).seconds), job.attempts)
        record = record.model_copy(update={"extra": {**record.extra, **places_record(folder)}})
        write_record(self._run_dir, record)
        delete_scratch(folder)
        return record

    def _take(self, record: TrialRecord) -> None:
        self._ledger.tell(record.number)
        self._know([record, *self._ledger.further_records(record.number)])
        self._ledger.look_ahead(self._limits.trials)
        self._events.ended(record)
        if record.number == BASE_NUMBER:
            if record.state != "complete":
                reason = f"the base model could not be measured: {record.reason}"
                self._limits.stop(reason, fatal=True)
                self._events.halt()  # they would only wait for its answers
            return
        self._ended.append(record)
        why = why_to_give_up(self._ended, self._had_complete)
        if why and not self._limits.stopped:
            self._limits.stop(why, fatal=True)
        self._stop_when_enough()

    def _know(self, records: Sequence[TrialRecord]) -> None:
        """Further records of the run."""
        if self._stops_early:
            self._records.update((record.number, record) for record in records)
        if self._weights:
            self._weights.add(records)

    def _stop_when_enough(self) -> None:
        """Start no further trial once the device-hours are spent or the front no longer
        improves."""
        if self._stops_early and not self._limits.stopped:
            why = enough([*self._records.values()], self._ledger.study)
            if why:
                self._limits.no_more(why)

    def _stop_on_full_disk(self, error: OSError) -> None:
        """Stop everything: nothing can be written any more, so the running trials would be lost."""
        if not is_disk_full(error):
            raise error
        self._limits.stop(full_disk_reason(self._run_dir), fatal=True)
        self._events.halt()

    def on_trial_result(self, trial_id: str, result: Any) -> None:
        """Ignored: a trial reports only when it has ended."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the Optuna study is the state."""

    def restore(self, checkpoint_path: str) -> None:
        raise RunError("a sweep is not continued with Tuner.restore; run the same command again")
