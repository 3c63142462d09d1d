"""Run a sweep: Tune asks the ledger for trials, runs them, and the ledger learns from their
records. The only place that knows Tune."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtray.errors import RunError
from mtray.search import ray_environment
from mtray.search.journal import Ledger

if TYPE_CHECKING:
    from mtray.search.searcher import Events, Limits


# a trial needs no CPU of its own, its Train workers do; Tune wants some resource, so a megabyte
# of memory
TRIAL_HOLDS = {"memory": float(1 << 20)}
CONNECT_WITHIN = 4  # seconds


def start_ray(address: str | None) -> Any:
    """Connect to the cluster at `address`, or start one on this machine (dashboard on the loopback
    interface)."""
    ray_environment.apply()
    import ray

    local: dict[str, Any] = (
        {"include_dashboard": True, "dashboard_host": "127.0.0.1"} if not address else {}
    )
    try:
        return ray.init(
            address=address or "local", log_to_driver=False, logging_level="ERROR",
            runtime_env={"env_vars": ray_environment.TRAIN}, **local,
        )  # fmt: skip
    except (ConnectionError, RuntimeError) as error:
        if not address:
            raise
        last = str(error).strip().splitlines()[-1]
        raise RunError(
            f"--address {address}: no Ray cluster could be joined there: {last}\n"
            "If the cluster asks for a token, set RAY_AUTH_MODE=token here (the token itself is "
            "taken from ~/.ray/auth_token or RAY_AUTH_TOKEN)"
        ) from None


def check_address(address: str) -> None:
    """Raises RunError when nothing listens there; Ray itself would try for minutes."""
    if address == "auto":
        return
    if "://" in address:
        raise RunError(
            f"--address {address}: expected auto or HOST:PORT of the cluster's head; the sweep "
            "must run on a machine of the cluster (`ray job submit` starts it there)"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise RunError(f"--address {address}: expected auto or HOST:PORT of the cluster's head")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_WITHIN).close()
    except (OSError, OverflowError) as error:
        raise RunError(
            f"--address {address}: nothing answers there ({error}); start a cluster with "
            "`ray start --head`, or leave --address out"
        ) from None


def run_trials(ledger: Ledger, shared: Any, limits: Limits, events: Events) -> None:
    """Run until the ledger has no more trials to give or the limits say so; returns when every
    running trial has ended."""
    from ray import tune

    from mtray.search.failures import AGAIN, full_disk_reason, is_disk_full
    from mtray.search.searcher import StudySearcher
    from mtray.search.trainable import trainable

    missing = max(0, limits.trials - ledger.finished) + ledger.needs_base()
    if not missing:
        return
    run_dir = Path(shared.run_dir)
    # what Tune saves to restore itself is never read, so it is no news that it cannot be saved
    logging.getLogger("ray.tune.execution.experiment_state").setLevel(logging.CRITICAL)
    tuner = tune.Tuner(
        # the work is done by the executors' workers, which hold the CPUs and GPUs
        tune.with_resources(
            tune.with_parameters(trainable, shared=shared),
            tune.PlacementGroupFactory([TRIAL_HOLDS]),
        ),
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(ledger, limits, events, run_dir),
            num_samples=missing * (1 + AGAIN["worker_lost"]),
            reuse_actors=True,  # the searcher gives no more trials than there are places
        ),
        run_config=tune.RunConfig(
            name="tune", storage_path=str(run_dir / "ray_tune"), verbose=0,
            failure_config=tune.FailureConfig(max_failures=0, fail_fast=False),
        ),
    )  # fmt: skip
    try:
        tuner.fit()
    except Exception as error:  # Tune writes into the run's folder, too
        if not is_disk_full(error):
            raise
        limits.stop(full_disk_reason(run_dir), fatal=True)


class StopOnSignal:
    """Ctrl-C or SIGTERM once: trials stop at their next step and the sweep ends well. Twice: at
    once."""

    def __init__(self, limits: Limits, board: Any, say: Callable[[str], None]) -> None:
        self._limits, self._board, self._say = limits, board, say
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopOnSignal:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: object) -> None:
        if self.received is not None:
            self._say("stopped at once; running trials go on with the next start")
            os._exit(128 + number)
        self.received = number
        self._limits.stop("stopped by a signal; the same command continues")
        self._board.stop.remote()
        self._say("stopping: running trials end at their next step (again to stop at once)")
