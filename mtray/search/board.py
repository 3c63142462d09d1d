"""What goes on in a sweep right now: workers write to one small actor, the live table reads it, and
stop requests go back."""

from __future__ import annotations

import time
from typing import Any


class Board:
    """State of every running trial, by number. Runs as a Ray actor without a CPU of its own."""

    def __init__(self) -> None:
        self._trials: dict[int, dict[str, Any]] = {}
        self._stop = False

    def update(self, number: int, fields: dict[str, Any]) -> None:
        entry = self._trials.setdefault(number, {"since": time.time()})
        if fields.get("state") not in (None, entry.get("state")):
            entry["since"] = time.time()
            entry.pop("step", None)
        entry.update(fields)

    def remove(self, number: int) -> None:
        self._trials.pop(number, None)

    def snapshot(self) -> dict[int, dict[str, Any]]:
        return self._trials

    def stop(self) -> None:
        self._stop = True

    def stopping(self) -> bool:
        return self._stop


def start_board() -> Any:
    import ray

    return ray.remote(num_cpus=0)(Board).remote()


class Reporter:
    """A worker's line to the board: never waits for it, writes at most a few times a second."""

    def __init__(self, board: Any, number: int, rank: int = 0, interval: float = 0.5) -> None:
        self._board, self._number, self._rank, self._interval = board, number, rank, interval
        self._pending: dict[str, Any] = {}
        self._written = 0.0
        self._asked = 0.0
        self._answer: Any = None
        self._stop = False

    def progress(self, fields: dict[str, Any]) -> None:
        if self._rank:
            return
        self._pending.update(fields)
        now = time.monotonic()
        if "state" in fields or now - self._written >= self._interval:
            self._board.update.remote(self._number, self._pending)
            self._pending, self._written = {}, now

    def should_stop(self) -> bool:
        """The last answer the board gave; a new question is sent when the last one was answered."""
        import ray

        now = time.monotonic()
        if self._answer is None and now - self._asked >= self._interval:
            self._answer, self._asked = self._board.stopping.remote(), now
        elif self._answer is not None and ray.wait([self._answer], timeout=0)[0]:
            self._stop = bool(ray.get(self._answer))
            self._answer = None
        return self._stop
