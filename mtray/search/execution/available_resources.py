"""The CPUs and GPUs available for trials, and how many trials of a study fit at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mtray.compat.ray import draining_nodes, node_name
from mtray.errors import ConfigError, RunError
from mtray.schema import NO_COMET, Resources, Study
from mtray.search.execution.placing import (
    TYPE,
    Machine,
    bundle_text,
    metric_machine,
    trials_that_fit,
    what_is_missing,
    workers_on,
)

JOIN_WITHIN = 300.0  # seconds: machines of a cluster that starts come after its head
LOOK_EVERY = 2.0  # seconds
NAMED = 8  # machines that a message names
STRICT = {
    "strict_pack": ", which must be on one machine (`worker_placement: strict_pack`)",
    "strict_spread": ", which must be on a machine each (`worker_placement: strict_spread`)",
}


@dataclass(frozen=True)
class AvailableResources:
    """Resources of a machine or a cluster.

    where: `this machine` or the cluster, as messages call it.
    machines: what each has.
    grows: whether machines may join.
    """

    where: str
    machines: Sequence[Machine]
    grows: bool = False

    def total(self, name: str) -> float:
        return sum(machine.amounts.get(name, 0) for machine in self.machines)


def this_machine(study: Study) -> AvailableResources:
    """The resources of this machine, without Ray. GPUs are those that torch sees, and are counted
    only if the study requests some."""
    gpus = 0
    if study.resources.gpus_per_worker or study.resources.metric_gpus or _scores_on_a_gpu(study):
        import torch

        gpus = torch.cuda.device_count()
    found: dict[str, float] = {"CPU": os.cpu_count() or 1, "GPU": gpus}
    if gpus and study.resources.accelerator_type:  # Ray looks at the type once it runs
        found[TYPE + study.resources.accelerator_type] = 1
    return AvailableResources("this machine", [Machine(found)])


def machines() -> list[Machine]:
    """The alive machines of the joined cluster, without those that are being drained."""
    import ray

    gone = draining_nodes()
    return [
        Machine(
            dict(node.get("Resources", {})),
            dict(node.get("Labels") or {}),
            node_name(node),
            node["NodeID"],
        )
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] not in gone
    ]


def cluster(address: str) -> AvailableResources:
    """The resources of the cluster at `address`. Raises RunError if there is none to join."""
    import ray

    from mtray.search.execution.ray_connection import start_ray

    start_ray(address)
    try:
        return AvailableResources(f"the cluster at {address}", machines(), grows=True)
    finally:
        ray.shutdown()


def fitting(resources: Resources, machines: Sequence[Machine]) -> int:
    """How many trials run at a time: as many as fit, and no more than the study names."""
    fits = trials_that_fit(resources, machines)
    return min(fits, resources.concurrent_trials) if resources.concurrent_trials else fits


def shortage(resources: Resources, room: AvailableResources) -> str:
    """What a trial needs and `room` lacks, with every machine and what it has; empty if one
    fits."""
    if fitting(resources, room.machines):
        return ""
    gpus = resources.metric_gpus
    if gpus and metric_machine(resources, room.machines) is None:
        have = _lines(f"{m.name} has {m.amounts.get('GPU', 0):g} GPU" for m in room.machines)
        return f"the shared metric needs {gpus:g} GPU (`resources.metric_gpus`), and{have}"
    wanted = bundle_text(resources)
    short = (
        f"a trial needs {resources.workers} x ({wanted}) and {room.where} has "
        f"{room.total('CPU'):g} CPU, {room.total('GPU'):g} GPU"
    )
    alone = [workers_on(resources, machine) for machine in room.machines]
    if not any(alone):
        why = _lines(f"{m.name}: {what_is_missing(resources, m)}" for m in room.machines)
        return f"{short}, but no machine of it has ({wanted}):{why}" if why else short
    beside = f" beside the metric's {gpus:g} GPU" if gpus else ""
    how = STRICT.get(resources.worker_placement, "")
    fit = _lines(
        f"{m.name} has room for {n}" for n, m in zip(alone, room.machines, strict=True) if n
    )
    return (
        f"{short}, with room for {sum(alone)} of its {resources.workers} workers{beside}{how}:{fit}"
    )


def _lines(texts: Iterable[str]) -> str:
    """Each text on a line of its own, up to `NAMED`."""
    found = list(texts)
    more = [f"and {len(found) - NAMED} more"] if len(found) > NAMED else []
    return "".join(f"\n  {text}" for text in [*found[:NAMED], *more])


def concurrency(resources: Resources, room: AvailableResources) -> int:
    """How many trials fit at a time. Raises RunError if not even one does."""
    if short := shortage(resources, room):
        separator = "\n" if "\n" in short else "; "  # after a list of machines
        raise RunError(
            f"{short}{separator}change `resources` in the study, or name a "
            "cluster that has more (`--address`)"
        )
    return _places(resources, room)


def room_of_cluster(study: Study, grows: bool, say: Callable[[str], None]) -> AvailableResources:
    """The resources of the joined cluster. Where no trial fits yet and machines may join, says what
    is missing and waits: for as long as it takes if the study names `concurrent_trials`, which an
    autoscaler is then asked for, else for `JOIN_WITHIN`. Raises RunError after that."""
    until, told = time.monotonic() + JOIN_WITHIN, False
    while True:
        room = AvailableResources("the cluster", machines(), grows)
        short = shortage(study.resources, room)
        if not short or not grows:
            return room
        if study.resources.concurrent_trials:
            say(f"{short}\nwaiting for machines to join")
            return room
        if time.monotonic() >= until:
            raise RunError(
                f"{short}\nNo machine that fits has joined within {JOIN_WITHIN / 60:.0f} minutes; "
                "change `resources` in the study, or name `concurrent_trials` there: it then "
                "requests that many of an autoscaler, and waits as long as it takes"
            )
        if not told:
            say(f"{short}\nwaiting for machines to join (up to {JOIN_WITHIN / 60:.0f} minutes)")
        told = True
        time.sleep(LOOK_EVERY)


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
    if study.resources.metric_gpus and study.evaluation.comet_device == "cpu":
        raise ConfigError(
            "`resources.metric_gpus` requests a GPU for the metric, but `evaluation.comet_device` "
            "is cpu; use auto or gpu, or leave `metric_gpus` out"
        )
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
