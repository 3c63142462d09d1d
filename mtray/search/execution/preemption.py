"""Machines and processes that will soon be gone: those that Ray drains (spot instances, a pod that
is deleted), and a worker that receives SIGTERM. Their trials write a checkpoint and go on
elsewhere."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from mtray.compat.ray import draining_nodes, node_name

_terminated = threading.Event()
HERE_DRAINED = (
    "the machine of the sweep itself is being drained; running trials stop at their next step, and "
    "the same command continues elsewhere"
)


def listen() -> None:
    """In the main thread of a worker: SIGTERM no longer ends the process, but its job at the next
    step. A second one ends it as before."""
    before = signal.getsignal(signal.SIGTERM)

    def handle(number: int, frame: Any) -> None:
        if _terminated.is_set() and callable(before):
            before(number, frame)
        _terminated.set()

    signal.signal(signal.SIGTERM, handle)


def terminated() -> bool:
    """Whether this process has received SIGTERM."""
    return _terminated.is_set()


def why_it_moves(drained: bool, ended: bool, machine: str) -> str:
    """Why a trial leaves a worker, in words; empty if it stays. `drained`: whether Ray drains the
    machine, `ended`: whether the process has received SIGTERM."""
    if drained:
        return f"its machine {machine} is being drained"
    if ended:
        return f"its process {os.getpid()} on {machine} received SIGTERM"
    return ""


def this_machine(address: str) -> str:
    return f"{socket.gethostname()} ({address})"


def drained_line(name: str, until: float, now: float) -> str:
    """What is said of a machine that is being drained. Times of time.time(); `until` 0: unknown."""
    left = ""
    if until:
        clock = time.strftime("%H:%M:%S", time.localtime(until))
        left = f", and will be gone at {clock} (in {max(0.0, until - now):.0f} s)"
    return (
        f"machine {name} is being drained{left}: trials there write a checkpoint and go on "
        "elsewhere, and none starts there"
    )


class DrainWatch:
    """Looks which machines Ray drains.

    - `say`: receives a line on each, once.
    - `tell`: receives the ids of all of them as long as there is one. The progress actor forgets
      them when it is started again, so they are told at each look.
    - `look_up`: returns them with the time at which each will be gone, as `draining_nodes`.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        tell: Callable[[Collection[str]], None],
        look_up: Callable[[], Mapping[str, float]] = draining_nodes,
    ) -> None:
        self._say, self._tell, self._look_up = say, tell, look_up
        self._known: set[str] = set()

    def look(self) -> bool:
        """Whether this process's own machine is among them."""
        found = self._look_up()
        new = [node for node in found if node not in self._known]
        if new:
            import ray

            names = {node["NodeID"]: node_name(node) for node in ray.nodes()}
            for node in new:
                self._say(drained_line(names.get(node, node), found[node], time.time()))
        self._known = set(found)
        if not found:
            return False
        self._tell(self._known)
        return this_node() in self._known


def this_node() -> str:
    """Ray's id of this machine."""
    import ray

    return str(ray.get_runtime_context().get_node_id())
