"""Ray: the names of its errors and of the errors that they wrap. Tested with 2.50.0 and 2.60.0."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

# of a Train run, an actor's task, a worker group whose worker does not answer
WRAPPED = ("controller_failure", "health_check_failure", "cause")
# private: raised by a Train run that found no resources for its workers within a minute
NO_ROOM = "WorkerGroupStartupTimeoutError"


def wrapped_errors(error: BaseException) -> list[BaseException]:
    """The errors that one of Ray's wraps, in addition to its `__cause__`.

    Private: `health_check_failure`. Without these names only the text, which Ray repeats, remains:
    the class of the wrapper then decides.
    """
    found = [getattr(error, name, None) for name in WRAPPED]
    return [inner for inner in found if isinstance(inner, BaseException)]


def found_no_room(error: BaseException) -> bool:
    """Whether a Train run ended because there were no resources for its workers yet. Without the
    name it counts as failed, and the waiting trial fails with it."""
    return type(getattr(error, "controller_failure", None)).__name__ == NO_ROOM


def job_variables() -> dict[str, str]:
    """The environment variables that the runtime environment of a submitted job sets, in which this
    process runs; none outside of one.

    Private: the variable's name. Without it, Ray raises ValueError where a job sets one of ours.
    """
    try:
        found = job_environment().get("env_vars") or {}
        return {str(name): str(value) for name, value in found.items()}
    except AttributeError:
        return {}


def job_environment() -> dict[str, Any]:
    """The whole runtime environment of a submitted job, as `job_variables`."""
    try:
        config = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
        return dict(config.get("runtime_env") or {})
    except (ValueError, AttributeError, TypeError):
        return {}


def asks_for_token() -> bool:
    """Whether the cluster that this process is in asks for a token: Ray sets the variable where it
    decides so itself."""
    return os.environ.get("RAY_AUTH_MODE", "").lower() == "token"


def draining_nodes() -> dict[str, float]:
    """The machines of the joined cluster that are being drained, by id: the time (of time.time())
    at which each will be gone, 0 if that was not said.

    Private, since no public call tells. Without it, trials on such a machine are lost with it and
    run again from their last checkpoint.
    """
    import ray

    if not ray.is_initialized():
        return {}
    try:
        found = ray._private.state.state.get_draining_nodes() or {}
        return {str(node): float(until) / 1000 for node, until in found.items()}
    except (AttributeError, TypeError, ValueError):
        return {}


def leave_out(message: str) -> None:
    """Show no message of Ray itself on the console that contains this.

    Private, since Ray shows these also with `log_to_driver=False`. Without it, they are shown.
    """
    import ray

    worker: Any = getattr(getattr(ray, "_private", None), "worker", None)
    show = getattr(worker, "print_to_stdstream", None)
    if show is None or message in getattr(show, "left_out", ()):
        return

    def filtered(data: Mapping[str, Any], *more: Any, **named: Any) -> None:
        if not any(message in line for line in data.get("lines", ())):
            show(data, *more, **named)

    filtered.left_out = (*getattr(show, "left_out", ()), message)  # type: ignore[attr-defined]
    worker.print_to_stdstream = filtered


def selects_labels() -> bool:
    """Whether Ray Train can place workers by labels of machines; later than 2.50."""
    from ray import train

    return "label_selector" in getattr(train.ScalingConfig, "__dataclass_fields__", {})


def node_name(node: Mapping[str, Any]) -> str:
    """Host name and address of a machine, for messages. `node`: an entry of `ray.nodes()`."""
    host, address = (
        str(node.get("NodeManagerHostname", "")),
        str(node.get("NodeManagerAddress", "")),
    )
    return f"{host} ({address})" if host and address else host or address or "a machine"


def head_answer(head: str, token: str, seconds: float) -> str:
    """How the head of a cluster at HOST:PORT answers a driver that sends this token (empty: none):
    the name of gRPC's status code, or an empty string if it cannot be asked (TLS, no gRPC).

    - `OK`.
    - `UNAUTHENTICATED`: the token is missing or wrong.
    - `UNAVAILABLE`: what listens there speaks another protocol.
    - `UNIMPLEMENTED`: it is a gRPC server of another kind, such as Ray Client's.
    - `DEADLINE_EXCEEDED`: no answer within `seconds`.

    Private: the name of the request, which every head answers. With a version without it the answer
    is empty; then only Ray itself finds a missing token, after 20 s to minutes.
    """
    if os.environ.get("RAY_USE_TLS", "").lower() in ("1", "true"):
        return ""
    try:
        import grpc
    except ImportError:
        return ""
    header = [("authorization", f"Bearer {token}")] if token else None
    options = [("grpc.enable_http_proxy", 0)]  # as Ray's own channels
    with grpc.insecure_channel(head, options) as channel:
        ask = channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetClusterId")
        try:
            ask(b"", timeout=seconds, metadata=header)
        except grpc.RpcError as error:
            unknown = error.code() == grpc.StatusCode.UNIMPLEMENTED and not _asks_by_that_name()
            return "" if unknown else str(error.code().name)
    return "OK"


def _asks_by_that_name() -> bool:
    """Whether this version of Ray, and so a head that it can join, has `head_answer`'s request."""
    try:
        services = import_module("ray.core.generated.gcs_service_pb2").DESCRIPTOR.services_by_name
        return "GetClusterId" in services["NodeInfoGcsService"].methods_by_name
    except Exception:  # generated code, which a version may lack or arrange in another way
        return False


def cluster_of_auto() -> str | None:
    """HOST:PORT of the head that `auto` stands for on this machine; empty if there is none, None if
    that is unknown.

    Private: `canonicalize_bootstrap_address`. Without it the answer is None, and Ray looks for the
    head when it connects.
    """
    try:
        from ray._private.services import canonicalize_bootstrap_address

        return str(canonicalize_bootstrap_address("auto") or "")
    except ConnectionError:
        return ""
    except Exception:  # of a version without it, or an address of another kind in RAY_ADDRESS
        return None


def runs_node_of(head: str, seconds: float) -> bool | None:
    """Whether this machine runs a node of the cluster whose head is at HOST:PORT, without which no
    driver can connect; None if that is unknown. `seconds`: how long to wait for the head.

    Private: `find_node_ids` and `GcsClient`, with which Ray itself looks for the node for a minute.
    Without them the answer is None, and only Ray looks.
    """
    try:
        from ray._private.services import find_node_ids

        here = find_node_ids()
        if not here:
            return False
        client = import_module("ray._raylet").GcsClient(address=head)
        known = client.get_all_node_info(timeout=seconds)
        return any(node.hex() in here for node in known)
    except Exception:  # Ray raises several kinds
        return None
