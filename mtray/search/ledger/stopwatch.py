"""Running and waiting time of a trial over all its attempts and starts of the sweep, kept in its
folder until it ends."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mtray.errors import TimeLimitReached
from mtray.report.records import write_json

FILE = "time.json"
KEPT_EVERY = 10.0  # seconds: the most time a killed process may leave uncounted


@dataclass(frozen=True)
class Duration:
    """Seconds of a trial.

    running: without `waiting`.
    waiting: for resources for its workers or for the base model's scores.
    """

    running: float = 0.0
    waiting: float = 0.0

    @property
    def seconds(self) -> dict[str, float]:
        """The durations in the form of a record."""
        return {"total": self.running, "waiting": self.waiting}


def kept_time(folder: Path) -> Duration:
    """The time that earlier processes of a trial without a record used; zero if unknown or
    damaged."""
    try:
        found = json.loads((folder / FILE).read_bytes())
        return Duration(float(found["running"]), float(found["waiting"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Duration()


def since_attempts(folder: Path, attempts: Sequence[Mapping[str, Any]]) -> float:
    """Seconds that a lost trial ran since the last of its failed `attempts`."""
    known = sum(float(a.get("seconds", 0.0)) for a in attempts)
    return max(0.0, kept_time(folder).running - known)


def forget_time(folder: Path) -> None:
    (folder / FILE).unlink(missing_ok=True)


class Stopwatch:
    """The clock of a trial in its own process. As a context manager it saves its time in the
    trial's `folder`, so that the next process that runs the trial continues from there. `now`:
    seconds of any monotonic clock."""

    def __init__(self, folder: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._now = folder, now
        self._before, self._start = kept_time(folder), now()
        self._waited, self._waits_since = 0.0, float("inf")
        self._ended = self._before.running
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="stopwatch")

    def __enter__(self) -> Stopwatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def duration(self) -> Duration:
        with self._lock:
            now = self._now()
            waited = self._waited + max(0.0, now - self._waits_since)
        running = self._before.running + now - self._start - waited
        return Duration(running, self._before.waiting + waited)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time in this context as waiting."""
        with self._lock:
            self._waits_since = self._now()
        try:
            yield
        finally:
            with self._lock:
                self._waited += self._now() - self._waits_since
                self._waits_since = float("inf")

    def end_attempt(self) -> float:
        """Seconds that the attempt ran which has just failed."""
        before, self._ended = self._ended, self.duration.running
        return self._ended - before

    @property
    def failed(self) -> float:
        """Seconds that earlier attempts ran, including those of a stopped or killed process."""
        return self._ended

    def check(self, minutes: float | None) -> None:
        """Raise TimeLimitReached if the trial has run for `minutes`."""
        if minutes is not None and self.duration.running >= minutes * 60:
            raise over_time(minutes)

    def _keep(self) -> None:
        over = False
        while not over:
            over = self._over.wait(KEPT_EVERY)
            with contextlib.suppress(OSError):  # a full disk is reported elsewhere
                write_json(self._folder / FILE, asdict(self.duration))


def over_time(minutes: float) -> TimeLimitReached:
    return TimeLimitReached(
        f"the trial took longer than the {minutes:g} minutes of `budget.trial_minutes`, all its "
        "attempts together and without waiting"
    )
