"""A process that scores, kept for as long as it is needed: started at the first request, started
again after it died, ended with the process that asked, and when it is idle and memory is short.

Every process that scores has its own, one for each command: the command that runs `score` or
`rescore`, the sweep's own process, and each trial that runs at the time. That is as many as loaded
comet into themselves before. One for a whole machine would have to outlive the trials, be found by
them, and wait for each in turn; with pipes it has one owner, and ends with it.
"""

from __future__ import annotations

import atexit
import functools
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mtray.control_group import memory_limit
from mtray.errors import EvaluationError
from mtray.evaluation.metrics import worker
from mtray.evaluation.metrics.child_process import Child, ChildEnded
from mtray.metrics_python import metrics_python

IDLE_SECONDS = 300.0
SPARE_MEMORY = 0.5  # of the machine's; with as much available an idle process stays
LOAD_SECONDS = 6 * 3600.0  # with the download of 43 GB (XCOMET-XXL)
# to score: a fixed part, and for each segment more than XXL takes on a slow CPU
SCORE_SECONDS, SEGMENT_SECONDS = 600.0, 60.0
# of a distributed training, in which the caller may be a worker: Lightning would join it
_DISTRIBUTED = (
    "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK",
    "MASTER_ADDR", "MASTER_PORT",
)  # fmt: skip
# freed memory is kept, as by `mtray.runtime.keep_freed_memory`
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 27), "MALLOC_TRIM_THRESHOLD_": str((1 << 31) - 1),
    "MALLOC_TOP_PAD_": str(1 << 26),
}  # fmt: skip
T = TypeVar("T")


class MetricProcess:
    """A command that speaks the protocol. Requests of several threads are answered one by one.

    `what` is how errors call it, `env` what its environment has besides that of this process,
    `idle` the seconds without a request after which it is ended.
    """

    def __init__(
        self, command: Sequence[str], what: str, env: Mapping[str, str] | None = None,
        idle: float = IDLE_SECONDS,
    ) -> None:  # fmt: skip
        self.command, self._what, self.idle = tuple(command), what, idle
        self._env = dict(env or {})
        self._child: Child | None = None
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        atexit.register(self._at_exit)

    @property
    def what(self) -> str:
        return self._what

    def load(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to `load` with the keys of `model`; asked once of a running process. Raises
        ModelError."""
        return self._with_child(lambda child: _load(child, model))

    def score(self, model: Mapping[str, Any], segments: Sequence[Sequence[str]]) -> dict[str, Any]:
        """The answer to `score`. Raises EvaluationError."""
        request = {
            **model, "do": "score", "segments": [list(texts) for texts in segments],
            "threads": _threads(),
        }  # fmt: skip
        limit = SCORE_SECONDS + SEGMENT_SECONDS * len(segments)

        def ask(child: Child) -> dict[str, Any]:
            _load(child, model)
            return child.ask(request, limit)

        return self._with_child(ask)

    def count(self, model: Mapping[str, Any], texts: Sequence[str]) -> int:
        """How many texts are longer than the model reads."""

        def ask(child: Child) -> dict[str, Any]:
            _load(child, model)
            return child.ask({**model, "do": "count", "texts": list(texts)}, SCORE_SECONDS)

        return int(self._with_child(ask)["truncated"])

    def versions(self) -> dict[str, Any]:
        """Those that the process named when it started."""
        return self._with_child(lambda child: child.versions)

    @property
    def pid(self) -> int | None:
        """Of the running process; None while there is none."""
        with self._lock:
            return self._child.pid if self._child and self._child.running else None

    def _with_child(self, ask: Callable[[Child], T]) -> T:
        """What `ask` returns; a process that dies meanwhile is started again once."""
        with self._lock:
            self._cancel_timer()
            try:
                try:
                    return ask(self._running_child())
                except ChildEnded:
                    self._drop()
                try:
                    return ask(self._running_child())
                except ChildEnded as ended:
                    self._drop()
                    raise EvaluationError(f"{self.what}: twice {ended}") from None
            finally:
                self._start_timer()

    def _running_child(self) -> Child:
        if self._child is None or not self._child.running:
            self._drop()
            self._child = Child(self.command, self.what, {**environment(), **self._env})
        return self._child

    def _drop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.stop()

    def _start_timer(self) -> None:
        if self._child is not None and self._child.running:
            self._timer = threading.Timer(self.idle, self._when_idle)
            self._timer.daemon = True
            self._timer.start()

    def _when_idle(self) -> None:
        """End it, unless it is on the CPU alone and the machine has memory to spare: then a trial
        that trains for longer does not load its metric again."""
        with self._lock:
            answers = self._child.loaded.values() if self._child else ()
            on_cpu = bool(answers) and all(found.get("device") == "cpu" for found in answers)
            if on_cpu and memory_to_spare():
                self._cancel_timer()
                self._start_timer()
            else:
                self.stop()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _at_exit(self) -> None:
        """Not while another thread has a request: that process sees the end of its input."""
        if self._lock.acquire(timeout=1.0):
            self.stop()
            self._lock.release()

    def stop(self) -> None:
        """End the process, if there is one; the next request starts another."""
        with self._lock:
            self._cancel_timer()
            self._drop()


def memory_to_spare() -> bool:
    """Whether at least `SPARE_MEMORY` of the machine's memory is available; not within a control
    group that allows less, whose use is not that of the machine."""
    import psutil

    found = psutil.virtual_memory()
    limit = memory_limit()
    if limit is not None and limit < found.total:
        return False
    return bool(found.available >= SPARE_MEMORY * found.total)


def _load(child: Child, model: Mapping[str, Any]) -> dict[str, Any]:
    key = tuple(model.items())
    if key not in child.loaded:
        child.loaded[key] = child.ask({**model, "do": "load"}, LOAD_SECONDS)
    return child.loaded[key]


def _threads() -> int | None:
    """Of this process's torch; None where it has not been imported."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch is not None else None


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _DISTRIBUTED}


class Scoring(Protocol):
    """What a scorer uses of a `MetricProcess`, wherever it runs."""

    @property
    def what(self) -> str: ...
    def load(self, model: Mapping[str, Any]) -> dict[str, Any]: ...
    def score(
        self, model: Mapping[str, Any], segments: Sequence[Sequence[str]]
    ) -> dict[str, Any]: ...
    def count(self, model: Mapping[str, Any], texts: Sequence[str]) -> int: ...


# takes the command (None: COMET's) and the metric's name
_elsewhere: Callable[[tuple[str, ...] | None, str], Scoring] | None = None


def score_elsewhere(made: Callable[[tuple[str, ...] | None, str], Scoring] | None) -> None:
    """From now on this process scores with what `made` returns; None: with its own metrics."""
    global _elsewhere
    _elsewhere = made


def comet_scoring() -> Scoring:
    """What scores with COMET: a process of this one, or `score_elsewhere`."""
    return _elsewhere(None, "comet") if _elsewhere else comet_process()


def command_scoring(command: tuple[str, ...], name: str) -> Scoring:
    """What scores with a study's own metric, as `comet_scoring`."""
    return _elsewhere(command, name) if _elsewhere else command_process(command, name)


@functools.cache
def comet_process() -> MetricProcess:
    """The one that runs COMET, with all of its models. Raises ModelError if no interpreter can."""
    python = metrics_python().path
    command = (python, "-I", "-X", "utf8", str(Path(worker.__file__).parent))
    return MetricProcess(command, f"comet ({python})", KEEP_MEMORY)


@functools.cache
def command_process(command: tuple[str, ...], name: str) -> MetricProcess:
    """The one of a study's own metric."""
    return MetricProcess(command, f"metric {name} ({' '.join(command)})")
