"""Stands in for the actors of Ray Tune, so that the real driver of a sweep can run hundreds of
trials at a time on one small machine.

Tune's loop asks its actor manager for the next event. Here that is a list of events on a simulated
clock: an actor starts at once, a trial takes as long as `Trials.seconds` says and leaves the
record that `Trials.end` writes. Everything that asks for an event (Tune, the searcher, the ledger)
is real.
"""

from __future__ import annotations

import heapq
import itertools
import pickle
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol


class Trials(Protocol):
    """The trials that run.

    seconds: how long a job takes, on the simulated clock.
    end: writes the record of a job, and returns what its trial reports to Tune.
    busy: whether the next suggestion is being computed: in the simulated time that takes, nothing
        else happens.
    """

    def seconds(self, job: Any) -> float: ...

    def end(self, job: Any) -> dict[str, Any]: ...

    def busy(self) -> bool: ...


class Actor:
    """In place of a handle on Ray's actor of a trial."""

    class get_auto_filled_metrics:
        @staticmethod
        def remote(*_: Any, **__: Any) -> dict[str, Any]:
            return {}


class SimulatedActors:
    """The part of `RayActorManager` that Tune's controller uses."""

    def __init__(self, trials: Trials) -> None:
        self._trials = trials
        self.now = 0.0  # simulated seconds
        self._soon: deque[Callable[[], None]] = deque()
        self._ends: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._idle = 0
        self._configs: dict[Any, Any] = {}
        self._pending: set[Any] = set()
        self._reported: set[Any] = set()
        self._live_actors_to_ray_actors_resources: dict[Any, tuple[Any, None]] = {}

    def next(self, timeout: float | None = None) -> bool:
        """Carry out one event. A trial ends only once Tune has twice found nothing to start."""
        if self._soon:
            self._idle = 0
            self._soon.popleft()()
            return True
        self._idle = 0 if self._trials.busy() else self._idle + 1
        if self._idle < 2 or not self._ends:
            time.sleep(0.001 if self._ends else 0.01)
            return False
        self._idle = 0
        self.now, _, end = heapq.heappop(self._ends)
        end()
        return True

    def add_actor(
        self, cls: Any, resource_request: Any, kwargs: Any, on_start: Any, on_stop: Any,
        on_error: Any,
    ) -> Any:  # fmt: skip
        from ray.air.execution._internal.tracked_actor import TrackedActor

        actor = TrackedActor(next(self._numbers), on_start, on_stop, on_error)
        self._pending.add(actor)
        self._configs[actor] = kwargs["config"]

        def start() -> None:
            if actor not in self._pending:
                return  # removed before it started
            self._pending.discard(actor)
            self._live_actors_to_ray_actors_resources[actor] = Actor(), None
            on_start(actor)

        self._soon.append(start)
        return actor

    def schedule_actor_task(
        self, tracked_actor: Any, method_name: str, args: Any = (), kwargs: Any = None,
        on_result: Any = None, on_error: Any = None, _return_future: bool = False,
    ) -> None:  # fmt: skip
        if method_name == "reset":
            self._configs[tracked_actor] = args[0]
            self._soon.append(lambda: on_result(tracked_actor, True))
        elif method_name == "train" and tracked_actor in self._reported:
            self._reported.discard(tracked_actor)
            last = {"__duplicate__": True, "done": True}
            self._soon.append(lambda: on_result(tracked_actor, last))
        elif method_name == "train":
            job = self._configs[tracked_actor]["job"]

            def end() -> None:
                self._reported.add(tracked_actor)
                done = {"done": False, "training_iteration": 1, "time_this_iter_s": 1.0}
                on_result(tracked_actor, {**done, **self._trials.end(job)})

            at = self.now + self._trials.seconds(job)
            heapq.heappush(self._ends, (at, next(self._numbers), end))

    def remove_actor(self, tracked_actor: Any, kill: bool = False, stop_future: Any = None) -> bool:
        self._configs.pop(tracked_actor, None)
        self._pending.discard(tracked_actor)
        known = self._live_actors_to_ray_actors_resources.pop(tracked_actor, None)
        stopped = tracked_actor._on_stop
        if known and stopped:
            self._soon.append(lambda: stopped(tracked_actor))
        return known is not None

    def is_actor_started(self, tracked_actor: Any) -> bool:
        return tracked_actor in self._live_actors_to_ray_actors_resources

    def is_actor_failed(self, tracked_actor: Any) -> bool:
        return False

    def clear_actor_task_futures(self, tracked_actor: Any) -> None: ...

    def cleanup(self) -> None: ...

    def get_live_actors_resources(self) -> dict[str, float]:
        return {}

    @property
    def num_live_actors(self) -> int:
        return len(self._live_actors_to_ray_actors_resources)

    @property
    def num_pending_actors(self) -> int:
        return len(self._pending)

    @property
    def num_total_actors(self) -> int:
        return self.num_live_actors + self.num_pending_actors

    @property
    def num_actor_tasks(self) -> int:
        return len(self._ends) + len(self._soon)


def _remote(found: Any) -> bool:
    import ray

    return isinstance(found, ray.ObjectRef)


class InProcess:
    """An object with the interface of a Ray actor: `actor.method.remote(...)` calls it at once, and
    returns a copy, as one that was sent."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        method = getattr(self._target, name)

        class Method:
            @staticmethod
            def remote(*arguments: Any) -> Any:
                return pickle.loads(pickle.dumps(method(*arguments)))

        return Method


class Gauge:
    """In place of Ray's gauge."""

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
        self._values: dict[tuple[tuple[str, str], ...], float] = {}

    def set(self, value: float, tags: dict[str, str]) -> None:
        self._values[tuple(sorted(tags.items()))] = value


def without_ray(folder: str) -> None:
    """Let Tune run in a process that is connected to no cluster, with its session in `folder`, and
    `ray.get` take plain values."""
    import ray
    from ray.train._internal import storage
    from ray.tune import tune
    from ray.tune.utils import resource_updater

    get = ray.get
    ray.get = lambda found, **more: get(found, **more) if _remote(found) else found
    ray.cluster_resources = lambda: {"CPU": 1.0}
    storage._get_ray_train_session_dir = lambda: folder
    tune._ray_auto_init = lambda entrypoint: None
    resource_updater._ResourceUpdater.update_avail_resources = lambda self, *_, **__: None
