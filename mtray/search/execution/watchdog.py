"""Reports dispatched trials that do not start, and the resource they wait for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mtray.run_files import trial_name
from mtray.schema import Resources
from mtray.search.execution.placing import per_worker
from mtray.search.execution.ray_connection import stay_connected_for
from mtray.trial.job import Job

PATIENCE = 30.0  # seconds that a trial may wait for a resource
# seconds that its processes may take to start once it has its resources: with imports it is half a
# minute on a busy machine, and longer where several start at once
STARTS_WITHIN = 120.0
AGAIN_AFTER = 120.0  # seconds between two reports of one trial
LOOK_EVERY = 5.0  # seconds

# state on the progress actor: the trial's own process runs, its workers do not yet
STARTING = "starting"
Amounts = Mapping[str, float]


def wanted_by(resources: Resources) -> dict[str, float]:
    """The total resources of the workers of one trial."""
    return {name: n * resources.workers for name, n in per_worker(resources).items()}


@dataclass(frozen=True)
class Cluster:
    """The resources of a cluster.

    total, free: amounts by Ray's names; executors hold theirs while they start.
    started: executors of this sweep whose workers run.
    places: executors that the sweep wants.
    starting: whether no executor waits for resources, of this or another sweep: those that have not
      started yet have theirs.
    """

    total: Amounts
    free: Amounts
    started: int = 0
    places: int = 1
    starting: bool = False


def waiting_line(name: str, seconds: float, wanted: Amounts, cluster: Cluster) -> str:
    """One line on a waiting trial: what it waits for, and how much of it the cluster has. A
    cluster with enough in total and free is only slow to start processes, or no single
    machine has enough. Where too little is free, the trial's own executor, which is still
    starting, may hold it."""
    total, free = cluster.total, cluster.free
    short = {r: n for r, n in wanted.items() if free.get(r, 0.0) < n}
    running = f"{cluster.started} of {cluster.places} executors have started"
    if short and not lacks(wanted, cluster):
        return (
            f"trial {name} has waited {seconds:.0f} s for its processes to start, which have their "
            f"{_amounts(wanted, wanted)}; {running}"
        )
    if not short:
        has = _amounts(free, wanted)
        return (
            f"trial {name} has waited {seconds:.0f} s for its processes to start; "
            f"it needs {_amounts(wanted, wanted)} and the cluster has {has} free; {running}"
        )
    has = ", ".join(f"{total.get(r, 0.0):g} {r}, {free.get(r, 0.0):g} free" for r in short)
    if gone := [r for r, n in short.items() if total.get(r, 0.0) < n]:
        return (
            f"trial {name} has waited {seconds:.0f} s for {_amounts(short, short)}; the cluster "
            f"has {has}; {running}; it cannot start until there is more {' and '.join(gone)}"
        )
    holds = " (one that is starting holds its resources)"
    return (
        f"trial {name} has waited {seconds:.0f} s to start; it needs {_amounts(short, short)}, and "
        f"the cluster has {has}; {running}{holds if cluster.started < cluster.places else ''}"
    )


def lacks(wanted: Amounts, cluster: Cluster) -> bool:
    """Whether a trial waits for a resource, not only for its processes to start."""
    total, free = cluster.total, cluster.free
    if all(free.get(r, 0.0) >= n for r, n in wanted.items()):
        return False
    return not cluster.starting or any(total.get(r, 0.0) < n for r, n in wanted.items())


def _amounts(amounts: Amounts, of: Amounts) -> str:
    return " and ".join(f"{amounts.get(r, 0.0):g} {r}" for r in of)


@dataclass
class Waiting:
    """Dispatched trials: since when each waits, and when it was last reported.

    Times are seconds of any one clock.
    """

    dispatched: dict[int, float] = field(default_factory=dict)
    named: dict[int, float] = field(default_factory=dict)

    def dispatch(self, number: int, now: float) -> None:
        self.dispatched[number] = now
        self.named.pop(number, None)

    def end(self, number: int) -> None:
        self.dispatched.pop(number, None)
        self.named.pop(number, None)

    def due(
        self, states: Mapping[int, str], now: float, patience: float = PATIENCE
    ) -> list[tuple[int, float]]:
        """(number, seconds waited) of trials to be reported now, which have waited for `patience`
        seconds. `states` are those on the progress actor. A running trial that is starting again
        begins a new wait."""
        found = []
        for number, since in self.dispatched.items():
            if states.get(number, STARTING) != STARTING:
                self.dispatched[number] = now
                continue
            last = self.named.get(number, float("-inf"))
            if now - since >= patience and now - last >= AGAIN_AFTER:
                self.named[number] = now
                found.append((number, now - since))
        return found


class Watchdog:
    """A thread beside the sweep. `look` returns the progress actor's states and the cluster; if it
    raises, the watchdog tries again later."""

    def __init__(
        self,
        resources: Resources,
        say: Callable[[str], None],
        look: Callable[[], tuple[Mapping[int, Mapping[str, Any]], Cluster]],
    ) -> None:
        self._wanted, self._say, self._look = wanted_by(resources), say, look
        self._waiting = Waiting()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="watchdog")

    def started(self, job: Job) -> None:
        with self._lock:
            self._waiting.dispatch(job.number, time.monotonic())

    def ended(self, number: int) -> None:
        with self._lock:
            self._waiting.end(number)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(timeout=LOOK_EVERY)
        stay_connected_for([self._thread])

    def lines(self, now: float) -> list[str]:
        """The lines to print now."""
        progress_actor, cluster = self._look()
        states = {
            number: str(entry.get("state", STARTING)) for number, entry in progress_actor.items()
        }
        with self._lock:
            patience = PATIENCE if lacks(self._wanted, cluster) else STARTS_WITHIN
            due = self._waiting.due(states, now, patience)
        return [
            waiting_line(trial_name(number), waited, self._wanted, cluster)
            for number, waited in due
        ]

    def _watch(self) -> None:
        import ray

        while not self._over.wait(LOOK_EVERY):
            try:
                found = self.lines(time.monotonic())
            except ray.exceptions.RayError:
                continue  # a busy progress actor is polled again
            for line in found:
                self._say(line)


def waits(group: Mapping[str, Any]) -> bool:
    """Whether a placement group (an entry of Ray's `placement_group_table`) waits for resources.
    Groups of the trials' own processes request none: they wait only for Ray to start a process."""
    requests = any(amount for bundle in group["bundles"].values() for amount in bundle.values())
    return requests and group["state"] in ("PENDING", "RESCHEDULING")


def look_at(
    progress_actor: Any, queue: Any, places: int
) -> tuple[Mapping[int, Mapping[str, Any]], Cluster]:
    """The input of `Watchdog` from a running cluster."""
    import ray

    snapshot, started = ray.get(
        [progress_actor.snapshot.remote(), queue.started.remote()], timeout=LOOK_EVERY
    )
    total, free = ray.cluster_resources(), ray.available_resources()
    groups = ray.util.placement_group_table().values()
    waiting = any(waits(group) for group in groups)
    return snapshot, Cluster(total, free, started, places, not waiting and started < places)
