"""The machines of a cluster, and whether a lost process was lost with its machine."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import ray

from mtray.compat.ray import draining_nodes
from mtray.errors import KilledForMemory, NodeDrained, NodeLost, WorkerLost
from mtray.schema import Resources
from mtray.search.execution.memory_kills import WATCH
from mtray.search.execution.placing import Machine, workers_on
from mtray.search.execution.ray_connection import stay_connected_for

NODE_SECONDS = 90.0  # until Ray declares a machine dead that no longer answers: 31 to 65 s measured
CONNECT_WITHIN = 2.0  # seconds
DECIDED_WITHIN = 0.2  # seconds that a loop may be held up
RECENTLY = 60.0  # seconds: a machine that was lost before is not why a process ended


def alive_nodes() -> set[str]:
    """Ids of the machines that Ray takes to be alive."""
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def answers(node: Mapping[str, Any]) -> bool:
    """Whether Ray's process on a machine accepts a connection now. A machine that was cut off or
    switched off does not, long before Ray declares it dead."""
    try:
        place = node["NodeManagerAddress"], int(node["NodeManagerPort"])
        socket.create_connection(place, timeout=CONNECT_WITHIN).close()
    except OSError:
        return False
    return True


def all_answer(nodes: set[str]) -> bool:
    """Whether all these machines answer, of those that Ray takes to be alive."""
    return all(answers(n) for n in ray.nodes() if n["Alive"] and n["NodeID"] in nodes)


class SeenNodes:
    """When every machine of the cluster was last there, and which were drained."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self.drained: set[str] = set()

    def look(self) -> None:
        self.drained.update(draining_nodes())
        self._seen.update(dict.fromkeys(alive_nodes(), time.monotonic()))

    def recent(self, since: float = -math.inf) -> set[str]:
        """The machines that were there a moment ago, and after `since` (of time.monotonic())."""
        since = max(since, time.monotonic() - RECENTLY)
        return {node for node, seen in [*self._seen.items()] if seen >= since}


def is_gone(error: Exception) -> bool:
    """Whether an actor's process is gone, not only out of reach for a moment."""
    return isinstance(error, ray.exceptions.RayActorError) and not isinstance(
        error, ray.exceptions.ActorUnavailableError
    )


SEEN = SeenNodes()  # by this process; the executors' watch looks every few seconds


def lost_error(what: str, nodes_before: set[str]) -> WorkerLost | KilledForMemory:
    """NodeLost if a machine of `nodes_before` is gone (NodeDrained if that was announced),
    KilledForMemory if the kernel of this machine has just killed a process for its memory, else
    WorkerLost. Waits as long as a machine does not answer that Ray still takes to be alive."""
    until = time.monotonic() + NODE_SECONDS
    while not (gone := nodes_before - alive_nodes()) and time.monotonic() < until:
        if len(nodes_before) < 2 or all_answer(nodes_before):
            break
        time.sleep(0.5)
    if gone and gone <= SEEN.drained:
        return NodeDrained(f"{what} with a drained node of the cluster")
    if gone:
        return NodeLost(f"{what} when a node of the cluster was lost")
    if WATCH.recent():
        return KilledForMemory(WATCH.reason(what))
    return WorkerLost(f"{what} (killed, or out of memory?)")


class LossInquiry:
    """`lost_error` beside the calling loop, in a thread if it takes longer than a moment."""

    def __init__(self, what: str, nodes_before: set[str]) -> None:
        self._asked = what, nodes_before
        self._found: Exception | None = None
        self._thread = threading.Thread(target=self._ask, daemon=True, name="lost process")
        self._thread.start()
        self._thread.join(DECIDED_WITHIN)
        stay_connected_for([self._thread])

    def _ask(self) -> None:
        try:
            self._found = lost_error(*self._asked)
        except Exception as error:  # if Ray is gone, too, the process was lost all the same
            self._found = WorkerLost(f"{self._asked[0]} ({type(error).__name__}: {error})")

    def found(self) -> Exception | None:
        """The error; None while it is not known yet."""
        return self._found


def workers_here(resources: Resources) -> int:
    """How many workers of a sweep this machine has room for, at least one."""
    here = ray.get_runtime_context().get_node_id()
    amounts: dict[str, float] = next(
        (node["Resources"] for node in ray.nodes() if node["NodeID"] == here), {}
    )
    no_labels = resources.model_copy(update={"labels": {}})  # this worker is here
    most = (resources.concurrent_trials or math.inf) * resources.workers
    return int(max(1, min(workers_on(no_labels, Machine(amounts)), most)))


def start_actor_here(cls: type, name: str, **options: Any) -> Any:
    """An actor of this name without a CPU on the machine of the calling process and on no other:
    the sweep ends with this machine anyway, and must not with another one."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    remote = ray.remote(num_cpus=0, scheduling_strategy=here, **options)(cls)
    return remote.options(name=name).remote()
