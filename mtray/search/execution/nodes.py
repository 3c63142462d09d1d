"""The machines of a cluster, and whether a lost process was lost with its machine."""

from __future__ import annotations

import math
import time
from typing import Any

import ray

from mtray.errors import KilledForMemory, NodeLost, WorkerLost
from mtray.schema import Resources
from mtray.search.execution.available_resources import fitting
from mtray.search.execution.memory_kills import WATCH

NODE_SECONDS = 20.0  # Ray's health check declares a machine dead after five failures, 3 s apart


def alive_nodes() -> set[str]:
    """Ids of the cluster's alive machines."""
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def is_gone(error: Exception) -> bool:
    """Whether an actor's process is gone, not only out of reach for a moment."""
    return isinstance(error, ray.exceptions.RayActorError) and not isinstance(
        error, ray.exceptions.ActorUnavailableError
    )


def lost_error(what: str, nodes_before: set[str]) -> WorkerLost | KilledForMemory:
    """NodeLost if a machine of `nodes_before` is gone, KilledForMemory if the kernel of this
    machine has just killed a process for its memory, else WorkerLost. With several machines, waits
    until Ray would have noticed the loss."""
    until = time.monotonic() + (NODE_SECONDS if len(nodes_before) > 1 else 0)
    while not (gone := nodes_before - alive_nodes()) and time.monotonic() < until:
        time.sleep(0.5)
    if gone:
        return NodeLost(f"{what} when a node of the cluster was lost")
    if WATCH.recent():
        return KilledForMemory(WATCH.reason(what))
    return WorkerLost(f"{what} (killed, or out of memory?)")


def workers_here(resources: Resources) -> int:
    """How many workers of a sweep this machine has room for, at least one."""
    here = ray.get_runtime_context().get_node_id()
    amounts: dict[str, float] = next(
        (node["Resources"] for node in ray.nodes() if node["NodeID"] == here), {}
    )
    alone = resources.model_copy(update={"workers": 1, "concurrent_trials": None})
    most = (resources.concurrent_trials or math.inf) * resources.workers
    return int(max(1, min(fitting(alone, amounts), most)))


def start_actor_here(cls: type, soft: bool) -> Any:
    """An actor without a CPU on the machine of the calling process; `soft`: on another one if there
    is no room."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=soft)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(cls).remote()
