"""Tune's view of the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from mtray.errors import RunError
from mtray.report.records import BASE_NUMBER, read_record, result_path
from mtray.schema import TrialRecord
from mtray.search.journal import Ledger, base_job
from mtray.trial import Job

GIVE_UP_AFTER = 3  # failed trials at the start, after which the sweep stops and says why


@dataclass
class Limits:
    """When no further trial is started. `idle_seconds`: how long a free place waited for a
    suggestion."""

    trials: int
    until: float | None = None  # of time.monotonic()
    stopped: bool = False
    reason: str = ""
    idle_seconds: float = 0.0

    def over(self) -> bool:
        if self.until is not None and time.monotonic() > self.until:
            self.reason = self.reason or "the time given by --max-minutes is over"
            return True
        return self.stopped

    def stop(self, reason: str) -> None:
        self.stopped, self.reason = True, reason


@dataclass(frozen=True)
class Events:
    """What the terminal shows; each is called with what happened."""

    started: Callable[[Job], None] = lambda job: None
    ended: Callable[[TrialRecord], None] = lambda record: None


class StudySearcher(Searcher):  # type: ignore[misc]
    """Hands Tune the ledger's trials and tells the ledger from the trials' records. The first of
    all is the base model."""

    def __init__(self, ledger: Ledger, limits: Limits, events: Events, run_dir: Path) -> None:
        super().__init__()
        self._ledger, self._limits, self._events, self._run_dir = ledger, limits, events, run_dir
        self._numbers: dict[str, int] = {}
        self._base_pending = ledger.needs_base()
        self._waiting_since = 0.0

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its searcher to restore a run; ours has nothing to keep, the Optuna
        # study is the state
        return {}

    def suggest(self, trial_id: str) -> Any:
        if self._limits.over():
            return Searcher.FINISHED
        if self._base_pending:
            self._base_pending = False
            job: Job | None = base_job(self._ledger.study)
        else:
            if self._ledger.exhausted(self._limits.trials):
                return Searcher.FINISHED
            job = self._ledger.next(self._limits.trials, wait=False)
        if job is None:
            self._waiting_since = self._waiting_since or time.monotonic()
            return None  # Tune asks again; the loop goes on meanwhile
        if self._waiting_since:
            self._limits.idle_seconds += time.monotonic() - self._waiting_since
            self._waiting_since = 0.0
        self._ledger.look_ahead(self._limits.trials)
        self._numbers[trial_id] = job.number
        self._events.started(job)
        return {"job": job}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        number = self._numbers.pop(trial_id, None)
        if number is None:
            return
        if not result_path(self._run_dir, number).is_file():
            if number != BASE_NUMBER:
                self._ledger.end_without_record(number, stopped=self._limits.stopped and not error)
            elif not self._limits.stopped:
                self._limits.stop(
                    "the base model's trial ended without a record (killed, or out of memory?)"
                )
            return
        record = read_record(result_path(self._run_dir, number))
        self._ledger.tell(number)
        self._ledger.look_ahead(self._limits.trials)
        self._events.ended(record)
        if number == BASE_NUMBER and record.state != "complete":
            self._limits.stop(f"the base model could not be measured: {record.reason}")
        elif self._ledger.all_failed(GIVE_UP_AFTER):
            self._limits.stop(
                f"the first {GIVE_UP_AFTER} trials all failed, the last one with {record.reason}"
            )

    def on_trial_result(self, trial_id: str, result: Any) -> None:
        """Nothing to learn before a trial has ended."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the Optuna study is the state."""

    def restore(self, checkpoint_path: str) -> None:
        raise RunError("a sweep is not continued with Tuner.restore; run the same command again")
