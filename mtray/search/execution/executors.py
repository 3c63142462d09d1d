"""Executors: `TorchTrainer` runs that start once and train many trials, as many as run at a time.

The driver starts each in a thread of its own, and again when it has ended: after so many jobs, when
its memory has grown, or when one of its processes or machines was lost. By Ray's public API alone.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ray

from mtray.compat.ray import found_no_room
from mtray.errors import TrainError
from mtray.schema import Resources
from mtray.search.execution.available_resources import fitting
from mtray.search.execution.job_queue import Ended, packed_failure
from mtray.search.execution.nodes import alive_nodes, lost_error
from mtray.search.execution.shared import Shared
from mtray.search.execution.worker_loop import worker_loop
from mtray.search.ledger.trial_failures import (
    LOST,
    classify,
    full_disk_error,
    is_disk_full,
    most_telling,
)

LOOK_EVERY = 2.0  # seconds between two looks at what the cluster has
LONGEST_PAUSE = 30.0  # seconds before an executor that cannot start is tried again
END_WITHIN = 10.0  # seconds for executors to end by themselves
STARTS = 3  # that fail one after the other, until a trial fails by it
RECENTLY = 60.0  # seconds: a machine that was lost before is not why an executor ended


class Executors:
    """Those of one sweep. `places`: how many trials the cluster has room for now, at least one: a
    trial that waits says what it waits for."""

    def __init__(self, shared: Shared, say: Callable[[str], None] = print) -> None:
        self._shared, self._say = shared, say
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._seen: dict[str, float] = {}  # of every machine, when it was last there
        self._look_once()
        self._watch = threading.Thread(target=self._look, daemon=True, name="executors")
        self._watch.start()

    def close(self) -> None:
        """Idle executors end; who does not within seconds ends with Ray."""
        self._over.set()
        self._shared.queue.close.remote()
        until = time.monotonic() + END_WITHIN
        for thread in (self._watch, *self._threads):
            thread.join(max(0.0, until - time.monotonic()))

    def _look(self) -> None:
        while not self._over.wait(LOOK_EVERY):
            with suppress(ray.exceptions.RayError):  # a busy cluster is asked again
                self._look_once()

    def _look_once(self) -> None:
        self._seen.update(dict.fromkeys(alive_nodes(), time.monotonic()))
        self.places = max(1, fitting(self._shared.study.resources, ray.cluster_resources()))
        self._grow()

    def _grow(self) -> None:
        """A machine that joins brings executors; one that leaves takes them with it."""
        while len(self._threads) < self.places:
            index = len(self._threads)
            thread = threading.Thread(
                target=self._keep_running, args=(index,), daemon=True, name=f"executor {index}"
            )
            self._threads.append(thread)
            thread.start()

    def _keep_running(self, index: int) -> None:
        """As long as there is a place for it. A start that fails is tried again; the third in a row
        is the failure of the trial that waits: it may be the study that no worker can start on."""
        failed, pause = 0, 0.0
        while not self._over.wait(pause):
            if index >= self.places:
                pause = LOOK_EVERY
                continue
            name = f"executor_{index}_{uuid.uuid4().hex[:8]}"
            try:
                failure = self._run(name)
                if self._over.is_set():
                    return  # nobody waits for an answer any more
                told = failed + 1 >= STARTS
                ended = ray.get(self._shared.queue.end.remote(name, failure, told))
            except ray.exceptions.RayError as error:
                ended = Ended(0, str(error))
            if ended.reason and not ended.jobs:
                self._say(f"an executor did not start, and is tried again: {ended.reason}")
            failed = failed + 1 if ended.reason and not ended.jobs else 0
            pause = min(LONGEST_PAUSE, 2.0**failed - 1)

    def _run(self, name: str) -> bytes | None:
        """From the start of an executor to its end; its failure where it was not by itself."""
        try:
            trainer(name, self._shared).fit()
        # Ray ends a thread that waits for it while it is shut down
        except (Exception, SystemExit) as error:
            since = time.monotonic() - RECENTLY
            nodes = {node for node, seen in [*self._seen.items()] if seen > since}
            cause = None if self._over.is_set() else root_cause(error, nodes)
            return packed_failure(cause) if cause else None
        return None


def trainer(name: str, shared: Shared) -> Any:
    """An executor, a `TorchTrainer`. `name`: of no other run in the same folder, which Ray would
    go on with."""
    from ray import train
    from ray.train.torch import TorchConfig, TorchTrainer

    wanted = shared.study.resources
    return TorchTrainer(
        worker_loop,
        train_loop_config={"shared": shared, "executor": name},
        torch_config=TorchConfig(backend="nccl" if wanted.gpus_per_worker else "gloo"),
        scaling_config=train.ScalingConfig(
            num_workers=wanted.workers,
            use_gpu=bool(wanted.gpus_per_worker),
            resources_per_worker=_per_worker(wanted),
        ),
        run_config=train.RunConfig(
            name=name,
            storage_path=os.path.join(shared.run_dir, "ray_train"),
            # what is tried again, and how often, is for `mtray.search.execution.retries` to say
            failure_config=train.FailureConfig(max_failures=0, controller_failure_limit=0),
        ),
    )


def _per_worker(wanted: Resources) -> dict[str, float]:
    gpus = {"GPU": wanted.gpus_per_worker} if wanted.gpus_per_worker else {}
    return {"CPU": wanted.cpus_per_worker, **gpus}


def root_cause(error: BaseException, nodes_before: set[str]) -> Exception | None:
    """Why an executor ended, out of Ray's wrappers; None where it has only found no room for its
    workers yet."""
    if found_no_room(error):
        return None
    if is_disk_full(error):
        return full_disk_error()
    failures = getattr(error, "worker_failures", None)
    cause = most_telling(failures) if failures else error
    if classify(cause) in LOST:
        return lost_error("a worker process of the trial ended", nodes_before)
    if isinstance(cause, MemoryError) or classify(cause) == "out_of_memory":
        return cause if isinstance(cause, Exception) else MemoryError(str(cause))
    return TrainError(str(cause))
