"""Executors: `TorchTrainer` runs that start once and train many trials. There is one for each
concurrent trial.

The driver starts each executor in a thread of its own, and restarts it when it has ended: after a
number of jobs, when its memory has grown, or when one of its processes or machines was lost. Uses
Ray's public API only.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray

from mtray.compat.ray import found_no_room
from mtray.errors import TrainError
from mtray.search.execution.available_resources import fitting, machines
from mtray.search.execution.job_messages import Ended, packed_failure
from mtray.search.execution.memory_kills import WATCH
from mtray.search.execution.nodes import SEEN, is_gone, lost_error
from mtray.search.execution.placing import machine_for, per_worker
from mtray.search.execution.preemption import HERE_DRAINED, DrainWatch
from mtray.search.execution.ray_connection import stay_connected_for
from mtray.search.execution.shared import Shared
from mtray.search.execution.worker_loop import worker_loop
from mtray.search.ledger.trial_failures import (
    LOST,
    classify,
    full_disk_error,
    innermost,
    is_disk_full,
    most_telling,
    one_line,
)

LOOK_EVERY = 2.0  # seconds between two polls of the cluster's resources
LONGEST_PAUSE = 30.0  # seconds before an executor that cannot start is tried again
END_WITHIN = 10.0  # seconds for executors to end by themselves
STARTS = 3  # failed ones in a row after which a waiting trial fails
ANSWER_WITHIN = 30.0  # seconds for an actor that may be busy
CONTINUE = "the same command continues"
NODE_LABEL = "ray.io/node-id"  # which Ray gives every machine
TRACKS = "the process that tracks the trials' progress"


class Executors:
    """The executors of one sweep.

    - `places`: how many trials the cluster has room for now, at least one, so that a waiting trial
      reports which resource it waits for.
    - `lost`: called with the reason if the process of the queue is gone, without which no trial
      can run.
    - `grows`: whether machines may join, since the cluster is not the sweep's own.
    - `restore`: called if that of the progress actor was lost and is there again, empty.
    """

    def __init__(
        self,
        shared: Shared,
        say: Callable[[str], None],
        lost: Callable[[str], None],
        restore: Callable[[], None] = lambda: None,
        grows: bool = False,
    ) -> None:
        self._grows = grows
        self._shared, self._say, self._lost, self._restore = shared, say, lost, restore
        self._over, self._closed = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self._placing, self._held = threading.Lock(), dict[int, str]()
        self._drains = DrainWatch(
            say, lambda nodes: shared.progress_actor.drain.remote(sorted(nodes))
        )
        self._look_once()
        self._watch = threading.Thread(target=self._look, daemon=True, name="executors")
        self._watch.start()

    def close(self) -> None:
        """End idle executors; those that do not end within seconds, such as those that are still
        starting, end with the process."""
        self._over.set()
        self._closed.set()
        self._shared.queue.close.remote()
        until = time.monotonic() + END_WITHIN
        for thread in (self._watch, *self._threads):
            thread.join(max(0.0, until - time.monotonic()))
        stay_connected_for([self._watch, *self._threads])

    def _look(self) -> None:
        while not self._over.wait(LOOK_EVERY):
            self.check()
            if self._over.is_set():
                return
            with suppress(ray.exceptions.RayError):  # a busy cluster is asked again
                self._look_once()

    def check(self) -> None:
        """Call `lost` if the sweep cannot go on. No executor starts any more, but how the running
        ones end is still told to those who wait for it."""
        with suppress(ray.exceptions.RayError):
            if self._over.is_set():
                return
            if what := self._lost_actor():
                self._over.set()
                self._lost(f"{what} was lost (killed, or out of memory?); {CONTINUE}")
            elif not ray.get(self._shared.progress_actor.restored.remote(), timeout=ANSWER_WITHIN):
                self._say(f"{TRACKS} was lost and has been started again; no trial is stopped")
                self._restore()

    def _lost_actor(self) -> str:
        for what, ask in (
            ("the process of the job queue", self._shared.queue.started),
            (TRACKS, self._shared.progress_actor.stopping),
        ):
            try:
                ray.get(ask.remote(), timeout=ANSWER_WITHIN)
            except ray.exceptions.RayActorError as error:
                if is_gone(error):
                    return what
        return ""

    def _look_once(self) -> None:
        WATCH.look()
        SEEN.look()
        if self._drains.look():
            self._over.set()
            self._lost(HERE_DRAINED)
        self.places = self._room()
        self._grow()

    def _room(self) -> int:
        """As many as fit on the machines that are there; what the study names where the cluster may
        grow, so that requests that wait drive an autoscaler."""
        wanted = self._shared.study.resources
        if self._grows and wanted.concurrent_trials:
            return wanted.concurrent_trials
        return max(1, fitting(wanted, machines()))

    def _grow(self) -> None:
        """Start executors for machines that joined; those of a machine that left end with it."""
        while len(self._threads) < self.places:
            index = len(self._threads)
            thread = threading.Thread(
                target=self._keep_running, args=(index,), daemon=True, name=f"executor {index}"
            )
            self._threads.append(thread)
            thread.start()

    def _keep_running(self, index: int) -> None:
        """Run executors one after another as long as there is a place for one. A failed start is
        tried again; the third in a row fails the waiting trial, since the study itself may be the
        reason."""
        failed, pause, found_none = 0, 0.0, False
        while not self._over.wait(pause):
            if index >= self.places:
                pause = LOOK_EVERY
                continue
            name = f"executor_{index}_{uuid.uuid4().hex[:8]}"
            try:
                with self._place(index, found_none) as node:
                    failure = self._run(name, node)
                if self._closed.is_set():
                    return  # nobody waits for an answer any more
                told = failed + 1 >= STARTS
                ended = ray.get(self._shared.queue.end.remote(name, failure, told))
            except ray.exceptions.RayError as error:
                ended = Ended(0, str(error))
            with suppress(ray.exceptions.RayError):
                free(ended.group)
            if self._over.is_set():
                return
            if ended.reason and not ended.jobs:
                self._say(f"an executor did not start and will be tried again: {ended.reason}")
            found_none = not ended.jobs and not ended.reason
            failed = failed + 1 if ended.reason and not ended.jobs else 0
            pause = min(LONGEST_PAUSE, 2.0**failed - 1)

    @contextmanager
    def _place(self, index: int, found_none: bool) -> Iterator[str]:
        """The machine for an executor by `trial_placement`; empty where Ray chooses, as it does
        after an executor `found_none`: another sweep may have taken what was free there."""
        wanted, shared = self._shared.study.resources, self._shared
        with self._placing:
            chosen = None
            if wanted.trial_placement != "any" and not found_none:
                chosen = machine_for(wanted, machines(), [*self._held.values()], shared.metric_node)
            self._held[index] = chosen.node if chosen else ""
        try:
            yield self._held[index]
        finally:
            with self._placing:
                self._held.pop(index)

    def _run(self, name: str, node: str) -> bytes | None:
        """Run an executor until it ends; returns its pickled failure, None if it ended by
        itself."""
        start = time.monotonic()
        try:
            trainer(name, self._shared, node).fit()
        # Ray raises in a waiting thread while it shuts down
        except (Exception, SystemExit) as error:
            nodes = SEEN.recent(start - LOOK_EVERY)
            cause = None if self._closed.is_set() else root_cause(error, nodes)
            return packed_failure(cause) if cause else None
        return None


def free(group: Any) -> None:
    """Remove the placement group of an executor that has ended, if it is still there. Ray Train
    does so itself, but not when its controller was lost and there are several Ray clusters on this
    machine, or the cluster has no dashboard: its cleaner then fails, and no executor could start
    in the place any more."""
    if group is None:
        return
    state = ray.util.placement_group_table(group).get("state", "REMOVED")
    if state != "REMOVED":
        ray.util.remove_placement_group(group)


def trainer(name: str, shared: Shared, node: str = "") -> Any:
    """An executor, a `TorchTrainer`. `name` must be unique in the folder: Ray would resume an
    earlier run of the same name. `node`: the machine that it must be on; empty: any."""
    from ray import train
    from ray.train.torch import TorchTrainer

    from mtray.search.execution.process_groups import AddressedTorchConfig

    wanted = shared.study.resources
    labels = {**wanted.labels, **({NODE_LABEL: node} if node else {})}
    return TorchTrainer(
        worker_loop,
        train_loop_config={"shared": shared, "executor": name},
        torch_config=AddressedTorchConfig(backend="nccl" if wanted.gpus_per_worker else "gloo"),
        scaling_config=train.ScalingConfig(
            num_workers=wanted.workers,
            use_gpu=bool(wanted.gpus_per_worker),
            resources_per_worker=per_worker(wanted),
            placement_strategy=wanted.worker_placement.upper(),
            **({"label_selector": labels} if labels else {}),
        ),
        run_config=train.RunConfig(
            name=f"{os.path.basename(shared.run_dir)}_{name}",
            storage_path=os.path.join(shared.run_dir, "ray_train"),
            # retries are decided by `mtray.search.execution.retries`
            failure_config=train.FailureConfig(max_failures=0, controller_failure_limit=0),
        ),
    )


def root_cause(error: BaseException, nodes_before: set[str]) -> Exception | None:
    """The error that ended an executor, without Ray's wrappers; None if its workers only found no
    resources yet."""
    if found_no_room(error):
        return None
    if is_disk_full(error):
        return full_disk_error()
    failures = getattr(error, "worker_failures", None)
    cause = most_telling(failures) if failures else innermost(error)
    reason_class = classify(cause)
    if reason_class in LOST:
        return lost_error("a worker process of the trial ended", nodes_before)
    if reason_class == "out_of_memory" and isinstance(cause, Exception):
        return cause
    return TrainError(str(cause) if failures and str(cause).strip() else one_line(cause))
