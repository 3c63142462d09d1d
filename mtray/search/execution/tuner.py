"""Runs a sweep: Tune asks the ledger for trials and runs them, and the ledger reads their records.
The only module that uses Tune."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtray.search.ledger.ledger import Ledger

if TYPE_CHECKING:
    from mtray.search.execution.searcher import Events, Limits


SAME = 1.0  # seconds
# a trial needs no CPU of its own, its Train workers do; Tune requires some resource, so a megabyte
# of memory
TRIAL_HOLDS = {"memory": float(1 << 20)}


def run_trials(ledger: Ledger, shared: Any, limits: Limits, events: Events) -> None:
    """Run until the ledger has no more trials or the limits are reached; returns when every running
    trial has ended."""
    from ray import tune

    from mtray.search.execution.searcher import StudySearcher
    from mtray.search.execution.trainable import trainable
    from mtray.search.ledger.trial_failures import full_disk_reason, is_disk_full

    if limits.trials <= ledger.finished and not ledger.needs_base():
        return
    run_dir = Path(shared.run_dir)
    # the searcher reports a trial that was lost, without Tune's traceback; what Tune saves to
    # restore itself is never read, so failures to save it do not matter
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    tuner = tune.Tuner(
        # the executors' workers do the work and hold the CPUs and GPUs
        tune.with_resources(
            tune.with_parameters(trainable, shared=shared),
            tune.PlacementGroupFactory([TRIAL_HOLDS]),
        ),
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(ledger, limits, events, run_dir),
            num_samples=-1,  # the searcher says when there are no more; some may be added
            reuse_actors=True,  # the searcher gives no more trials than there are places
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(run_dir / "ray_tune"),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0, fail_fast=False),
        ),
    )
    try:
        tuner.fit()
    except Exception as error:  # Tune writes into the run's folder, too
        if not is_disk_full(error):
            raise
        limits.stop(full_disk_reason(run_dir), fatal=True)


class StopOnSignal:
    """Handles Ctrl-C, SIGTERM, and the SIGHUP of a terminal that goes, except under nohup. The
    first one stops trials at their next step and ends the sweep cleanly; the second one ends it at
    once. SIGTERM is often sent to all processes of a job, of which one that started this sweep may
    pass it on: within `SAME` seconds it is the same one."""

    def __init__(self, limits: Limits, progress_actor: Any, say: Callable[[str], None]) -> None:
        self._limits, self._progress_actor, self._say = limits, progress_actor, say
        self.received: int | None = None
        self._since = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopOnSignal:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: object) -> None:
        if self.received is not None:
            if number == signal.SIGTERM and time.monotonic() - self._since < SAME:
                return
            self._say("stopped at once; running trials go on with the next start")
            os._exit(128 + number)
        self.received, self._since = number, time.monotonic()
        self._limits.stop("stopped by a signal; the same command continues")
        self._progress_actor.stop.remote()
        self._say("stopping: running trials end at their next step (again to stop at once)")
