"""Starts or joins a Ray cluster."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mtray.compat.ray import asks_for_token, leave_out
from mtray.errors import RunError
from mtray.schema import Resources
from mtray.search.execution import ray_environment
from mtray.search.execution.cluster_address import MUST_JOIN
from mtray.search.execution.ray_folder import keep_token, session_folder, token_command
from mtray.search.execution.ray_token import found_token, token_is_sent

LOOPBACK = ("127.", "localhost:", "[::1]:")
STARTS = 2  # attempts to start a cluster
_busy: list[threading.Thread] = []  # threads that may call Ray at any moment
# a resource of the cluster that a sweep has started for itself, by which others know it
PRIVATE = "mtray_sweep"
# Ray's warning where a machine has few CPUs: every trial has processes that take none
PROCESSES = "worker processes have been started on node"


def start_ray(address: str | None, run: str = "", resources: Resources | None = None) -> Any:
    """Connect to the cluster at `address`, or start one on this machine (dashboard on the loopback
    interface). `run`: the run's folder, for the metadata of Ray's job; `resources`: those of the
    study, for the environment of the sweep's processes. Raises RunError if no cluster can be joined
    there, or it is another sweep's own."""
    ray_environment.apply()
    environment = ray_environment.runtime_env(resources or Resources())
    if not address:
        return _start_local(run, environment)
    from ray.exceptions import RayError

    try:
        context = _init(address, run, runtime_env=environment)
    except (ConnectionError, RuntimeError, RayError) as error:
        last = str(error).strip().splitlines()[-1]
        raise RunError(
            f"--address {address}: no Ray cluster could be joined there: {last}\n"
            f"{MUST_JOIN}\n"
            "If the cluster asks for a token, set RAY_AUTH_MODE=token here (the token itself is "
            "taken from ~/.ray/auth_token or RAY_AUTH_TOKEN)"
        ) from None
    _check_not_private(address, context)
    return context


def _init(address: str, run: str, **more: Any) -> Any:
    import ray

    leave_out(PROCESSES)
    if run:
        metadata = {"mtray_run": os.path.basename(run), "mtray_folder": run}
        more["job_config"] = ray.job_config.JobConfig(metadata=metadata)
    return ray.init(
        address=address,
        log_to_driver=False,
        logging_level="ERROR",
        **more,
    )


def _start_local(run: str, environment: dict[str, Any]) -> Any:
    keep_token()
    found_token(token_is_sent(own=True))
    folder = session_folder()
    # Ray's processes make sockets of their own among the temporary files
    short = {"TMPDIR": str(folder.path)} if folder.note else {}
    with _ignored(signal.SIGHUP), _environment(short):
        return _started(
            run,
            runtime_env=environment,
            include_dashboard=True,
            dashboard_host="127.0.0.1",
            resources={PRIVATE: 1},
            _temp_dir=str(folder.path / "ray"),
        )


def _started(run: str, **settings: Any) -> Any:
    """A cluster on this machine. Its processes may not come up in time where many others run, so
    it is tried twice. Raises RunError."""
    import ray

    error: Exception | None = None
    for _ in range(STARTS):
        try:
            return _init("local", run, **settings)
        except OSError:  # of the machine, such as a full disk
            raise
        except Exception as found:  # Ray raises nothing more special
            error = found
            ray.shutdown()
    last = str(error).strip().splitlines() or [type(error).__name__]
    raise RunError(
        f"Ray did not start on this machine ({STARTS} attempts): {last[-1]}\n"
        f"The load is {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores; `python -m mtray doctor` "
        "looks at memory and limits, and the same command tries again"
    ) from error


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _ignored(number: int) -> Iterator[None]:
    """Ignore a signal here and, for good, in the processes that are started meanwhile: the terminal
    sends it to Ray's processes as well, which a sweep needs to end its trials cleanly."""
    try:
        before = signal.signal(number, signal.SIG_IGN)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(number, before)


def _check_not_private(address: str, context: Any) -> None:
    """Raise RunError if the cluster is one that another sweep has started for itself: it ends with
    that sweep, and its resources are taken."""
    import ray

    if PRIVATE not in ray.cluster_resources():
        return
    ray.shutdown()
    raise RunError(
        f"--address {address}: the cluster there ({context.address_info['gcs_address']}) was "
        "started by another sweep for itself, and ends with it; leave --address out, or start a "
        "cluster for both with `ray start --head` and name it HOST:PORT"
    )


def cluster_lines(
    addresses: Mapping[str, Any], dashboard: str | None, address: str | None
) -> list[str]:
    """What is said of the cluster once it is there: which one was joined, and where its dashboard
    is. `addresses`, `dashboard`: what `ray.init` returns of them."""
    lines = []
    gcs = str(addresses["gcs_address"])
    if address:
        lines.append(f"joined the Ray cluster at {gcs}")
    if not dashboard:
        return [*lines, "this Ray cluster has no dashboard"]
    head, port = gcs.rpartition(":")[0], dashboard.rpartition(":")[2]
    line = f"Ray dashboard: http://{dashboard}"
    here = addresses.get("node_ip_address", head)
    if dashboard.startswith(LOOPBACK) and head != here:
        line += f" on {head} (from here: ssh -L {port}:127.0.0.1:{port} {head})"
    if asks_for_token():
        line += f"  (token: {token_command()})"
    return [*lines, line]


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
