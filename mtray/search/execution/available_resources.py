"""The CPUs and GPUs available for trials, and how many trials of a study fit at a time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mtray.errors import ConfigError, RunError
from mtray.schema import NO_COMET, Resources, Study


@dataclass(frozen=True)
class AvailableResources:
    """Resources of a machine or a cluster.

    where: `this machine` or the cluster, as messages call it.
    machines: the CPUs and GPUs of each, by Ray's names.
    grows: whether machines may join.
    """

    where: str
    machines: Sequence[Mapping[str, float]]
    grows: bool = False

    def total(self, name: str) -> float:
        return sum(machine.get(name, 0) for machine in self.machines)


def this_machine(study: Study) -> AvailableResources:
    """The resources of this machine, without Ray. GPUs are those that torch sees, and are counted
    only if the study requests some."""
    gpus = 0
    if study.resources.gpus_per_worker or _scores_on_a_gpu(study):
        import torch

        gpus = torch.cuda.device_count()
    return AvailableResources("this machine", [{"CPU": os.cpu_count() or 1, "GPU": gpus}])


def machines() -> list[dict[str, float]]:
    """What each alive machine of the joined cluster has, by Ray's names."""
    import ray

    return [dict(node.get("Resources", {})) for node in ray.nodes() if node["Alive"]]


def cluster(address: str) -> AvailableResources:
    """The resources of the cluster at `address`. Raises RunError if there is none to join."""
    import ray

    from mtray.search.execution.ray_connection import start_ray

    start_ray(address)
    try:
        return AvailableResources(f"the cluster at {address}", machines(), grows=True)
    finally:
        ray.shutdown()


def per_worker(resources: Resources) -> dict[str, float]:
    """What one worker holds, by Ray's names, without what it needs none of."""
    wanted = {"CPU": resources.cpus_per_worker, "GPU": resources.gpus_per_worker}
    return {name: amount for name, amount in wanted.items() if amount}


def fitting(resources: Resources, machines: Sequence[Mapping[str, float]]) -> int:
    """How many trials fit at a time. A worker needs a machine of its own size; the workers of a
    trial may be on several."""
    workers = sum(_workers_on(resources, machine) for machine in machines)
    fits = workers // resources.workers
    return min(fits, resources.concurrent_trials) if resources.concurrent_trials else fits


def _workers_on(resources: Resources, machine: Mapping[str, float]) -> int:
    return min(int(machine.get(n, 0) // each) for n, each in per_worker(resources).items())


def shortage(resources: Resources, room: AvailableResources) -> str:
    """The resource that a trial needs and `room` lacks; empty if one fits."""
    if fitting(resources, room.machines):
        return ""
    wanted = f"{resources.cpus_per_worker:g} CPU, {resources.gpus_per_worker:g} GPU"
    short = (
        f"a trial needs {resources.workers} x ({wanted}) and {room.where} has "
        f"{room.total('CPU'):g} CPU, {room.total('GPU'):g} GPU"
    )
    if len(room.machines) > 1 and not any(_workers_on(resources, m) for m in room.machines):
        short += f", but no machine of it has ({wanted})"
    return short


def concurrency(resources: Resources, room: AvailableResources) -> int:
    """How many trials fit at a time. Raises RunError if not even one does."""
    if short := shortage(resources, room):
        raise RunError(
            f"{short}; change `resources` in the study, or name a cluster that has more "
            "(`--address`)"
        )
    return _places(resources, room)


def _places(resources: Resources, room: AvailableResources) -> int:
    """How many trials run at a time: as many as fit, or as the study names where machines may
    join."""
    if room.grows and resources.concurrent_trials:
        return resources.concurrent_trials
    return fitting(resources, room.machines)


def check_resources(study: Study, room: AvailableResources, waits: bool = False) -> int:
    """How many trials fit at a time; 1 if none does yet and the sweep `waits` for machines to
    join. Raises RunError if none fits, ConfigError if the study's metric needs a GPU and
    there is none."""
    if _scores_on_a_gpu(study) and not room.total("GPU"):
        raise ConfigError(
            f"`evaluation.comet_device` is gpu, but {room.where} has no GPU; use auto or cpu"
        )
    if waits and shortage(study.resources, room):
        return max(1, _places(study.resources, room))
    return concurrency(study.resources, room)


def _scores_on_a_gpu(study: Study) -> bool:
    wanted = study.evaluation
    scores = wanted.comet != NO_COMET or wanted.more_comet or wanted.more_metrics
    return wanted.comet_device == "gpu" and bool(scores)
