"""Measurements and parameters that both sides of `benchmarks/data.py` share."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

BATCH, BATCHES, SEED = 64, 200, 1
RECIPES = [(1.0, 1.0), (0.5, 0.5), (0.25, 2.0)]  # pairs as a share of all, mono_ratio


class Watch:
    """Seconds of the clock and of this process's computing, which tells more where others compute,
    too; and the most anonymous memory beyond what there was before."""

    def __enter__(self) -> Watch:
        self._before = self._most = _anonymous()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        self._start, self._computed = time.perf_counter(), _computed()
        return self

    def _look(self) -> None:
        while not self._ends.wait(0.005):
            self._most = max(self._most, _anonymous())

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
        self.computed = _computed() - self._computed
        self._ends.set()
        self._thread.join()
        self.megabytes = (max(self._most, _anonymous()) - self._before) / 1e6

    def result(self) -> dict[str, float]:
        return {"seconds": self.seconds, "computed": self.computed, "anonymous_mb": self.megabytes}


def _computed() -> float:
    """CPU seconds of this process and of those that it started and that have ended."""
    ended = os.times()  # in hundredths
    return time.process_time() + ended.children_user + ended.children_system


def _anonymous() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("no RssAnon in /proc/self/status: this benchmark needs Linux")


def read_on(batches: Sequence[Any], read: Callable[[Any], Any]) -> float:
    """Examples a second over the first `BATCHES` batches of `BATCH`."""
    some = batches[:BATCHES]
    start = time.perf_counter()
    for batch in some:
        read(batch)
    return len(some) * BATCH / (time.perf_counter() - start)
