"""Starts or joins a Ray cluster."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterable
from typing import Any

from mtray.errors import RunError
from mtray.search.execution import ray_environment

CONNECT_WITHIN = 4  # seconds
_busy: list[threading.Thread] = []  # threads that may call Ray at any moment


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
            address=address or "local",
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={"env_vars": ray_environment.TRAIN},
            **local,
        )
    except (ConnectionError, RuntimeError) as error:
        if not address:
            raise
        last = str(error).strip().splitlines()[-1]
        raise RunError(
            f"--address {address}: no Ray cluster could be joined there: {last}\n"
            "If the cluster asks for a token, set RAY_AUTH_MODE=token here (the token itself is "
            "taken from ~/.ray/auth_token or RAY_AUTH_TOKEN)"
        ) from None


def stay_connected_for(threads: Iterable[threading.Thread]) -> None:
    """These threads are still in a call of Ray, which ends the whole process with exit code 1 when
    such a call finds it disconnected."""
    _busy.extend(threads)


def disconnect() -> None:
    """Leave the cluster, and end one that was started here; with `stay_connected_for` only
    `end_process` does."""
    import ray

    if not any(thread.is_alive() for thread in _busy):
        ray.shutdown()


def end_process(code: int) -> None:
    """End the process now if threads still use Ray. A cluster started here ends with its driver."""
    if any(thread.is_alive() for thread in _busy):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def check_address(address: str) -> None:
    """Raise RunError if nothing listens at `address`; Ray itself would retry for minutes."""
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
