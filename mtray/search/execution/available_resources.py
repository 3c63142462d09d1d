"""The CPUs and GPUs available for trials, and how many trials of a study fit at a time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from mtray.errors import ConfigError, RunError
from mtray.schema import NO_COMET, Resources, Study


@dataclass(frozen=True)
class AvailableResources:
    """Resources of a machine or a cluster.

    where: `this machine` or the cluster, as messages call it.
    amounts: its CPUs and GPUs, by Ray's names.
    """

    where: str
    amounts: Mapping[str, float]


def this_machine(study: Study) -> AvailableResources:
    """The resources of this machine, without Ray. GPUs are those that torch sees, and are counted
    only if the study requests some."""
    gpus = 0
    if study.resources.gpus_per_worker or _scores_on_a_gpu(study):
        import torch

        gpus = torch.cuda.device_count()
    return AvailableResources("this machine", {"CPU": os.cpu_count() or 1, "GPU": gpus})


def cluster(address: str) -> AvailableResources:
    """The resources of the cluster at `address`. Raises RunError if there is none to join."""
    import ray

    from mtray.search.execution.ray_connection import start_ray

    start_ray(address)
    try:
        return AvailableResources(f"the cluster at {address}", ray.cluster_resources())
    finally:
        ray.shutdown()


def per_worker(resources: Resources) -> dict[str, float]:
    """What one worker holds, by Ray's names, without what it needs none of."""
    wanted = {"CPU": resources.cpus_per_worker, "GPU": resources.gpus_per_worker}
    return {name: amount for name, amount in wanted.items() if amount}


def fitting(resources: Resources, amounts: Mapping[str, float]) -> int:
    """How many trials fit at a time."""
    fits = min(
        int(amounts.get(name, 0) // (resources.workers * each))
        for name, each in per_worker(resources).items()
    )
    return min(fits, resources.concurrent_trials) if resources.concurrent_trials else fits


def shortage(resources: Resources, room: AvailableResources) -> str:
    """The resource that a trial needs and `room` lacks; empty if one fits."""
    if fitting(resources, room.amounts):
        return ""
    has = {name: room.amounts.get(name, 0) for name in ("CPU", "GPU")}
    return (
        f"a trial needs {resources.workers} x ({resources.cpus_per_worker:g} CPU, "
        f"{resources.gpus_per_worker:g} GPU) and {room.where} has {has['CPU']:g} CPU, "
        f"{has['GPU']:g} GPU"
    )


def concurrency(resources: Resources, room: AvailableResources) -> int:
    """How many trials fit at a time. Raises RunError if not even one does."""
    if short := shortage(resources, room):
        raise RunError(
            f"{short}; change `resources` in the study, or name a cluster that has more "
            "(`--address`)"
        )
    return fitting(resources, room.amounts)


def check_resources(study: Study, room: AvailableResources, waits: bool = False) -> int:
    """How many trials fit at a time; 1 if none does yet and the sweep `waits` for machines to
    join. Raises RunError if none fits, ConfigError if the study's metric needs a GPU and
    there is none."""
    if _scores_on_a_gpu(study) and not room.amounts.get("GPU", 0):
        raise ConfigError(
            f"`evaluation.comet_device` is gpu, but {room.where} has no GPU; use auto or cpu"
        )
    if waits and shortage(study.resources, room):
        return 1
    return concurrency(study.resources, room)


def _scores_on_a_gpu(study: Study) -> bool:
    wanted = study.evaluation
    scores = wanted.comet != NO_COMET or wanted.more_comet or wanted.more_metrics
    return wanted.comet_device == "gpu" and bool(scores)
