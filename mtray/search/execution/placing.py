"""How many trials fit on the machines of a cluster at a time, counted for each machine as Ray
places them. Uses no Ray."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mtray.schema import Resources

UNITS = 10_000  # Ray counts resources in ten-thousandths
TYPE = "accelerator_type:"  # a resource by which a machine shows what it has
OF_A_TYPE = 0.001  # of it, for each worker, as Ray does


@dataclass(frozen=True)
class Machine:
    """What a machine has.

    amounts: by Ray's names.
    labels: by name.
    name: host name and address, for messages.
    node: Ray's id.
    """

    amounts: Mapping[str, float]
    labels: Mapping[str, str] = field(default_factory=dict)
    name: str = "this machine"
    node: str = ""


def per_worker(resources: Resources) -> dict[str, float]:
    """What one worker holds, by Ray's names, without what it needs none of."""
    wanted = {"CPU": resources.cpus_per_worker, "GPU": resources.gpus_per_worker}
    wanted |= resources.custom_per_worker
    if resources.accelerator_type:
        wanted[TYPE + resources.accelerator_type] = OF_A_TYPE
    return {name: amount for name, amount in wanted.items() if amount}


def bundle_text(resources: Resources) -> str:
    """What one worker needs, in words: `4 CPU, 0.5 GPU, 1 disk, an A100, zone=b`."""
    custom = [f"{amount:g} {name}" for name, amount in resources.custom_per_worker.items()]
    kind = [f"accelerator {resources.accelerator_type}"] if resources.accelerator_type else []
    labels = [f"label {name}={wanted}" for name, wanted in resources.labels.items()]
    both = f"{resources.cpus_per_worker:g} CPU, {resources.gpus_per_worker:g} GPU"
    return ", ".join([both, *custom, *kind, *labels])


def matches(wanted: str, label: str | None) -> bool:
    """Whether a machine's label (None: it has none of that name) is as a selector asks."""
    negated = wanted.startswith("!")
    text = wanted[negated:]
    among = re.fullmatch(r"in\((.*)\)", text)
    values = [part.strip() for part in among[1].split(",")] if among else [text]
    return (label in values) is not negated


def workers_on(resources: Resources, machine: Machine, metric: float = 0.0) -> int:
    """How many workers a machine has room for beside `metric` GPUs of the shared metric."""
    if any(not matches(w, machine.labels.get(n)) for n, w in resources.labels.items()):
        return 0
    wanted = per_worker(resources)
    gpus = wanted.pop("GPU", 0.0)
    fits = [_units(machine.amounts.get(n, 0)) // _units(each) for n, each in wanted.items()]
    if gpus:
        fits.append(_on_gpus(gpus, int(machine.amounts.get("GPU", 0)), metric))
    return min(fits)


def _on_gpus(each: float, count: int, metric: float) -> int:
    """Ray gives a part of a GPU from a single one."""
    whole, part = int(metric), _units(metric) % UNITS
    free = count - whole - bool(part)
    if free < 0:
        return 0
    if each >= 1:
        return free // int(each)
    beside = (UNITS - part) // _units(each) if part else 0
    return free * (UNITS // _units(each)) + beside


def _units(amount: float) -> int:
    return round(amount * UNITS)


def metric_machine(resources: Resources, machines: Sequence[Machine]) -> Machine | None:
    """The machine on which the shared metric leaves room for the most trials; None if there is
    none for it, or it needs no GPU."""
    able = [m for m in machines if 0 < resources.metric_gpus <= m.amounts.get("GPU", 0)]
    return max(able, key=lambda m: _trials(resources, machines, m), default=None)


def trials_that_fit(resources: Resources, machines: Sequence[Machine]) -> int:
    """How many trials fit at a time, together with the shared metric; 0 where that does not."""
    metric = metric_machine(resources, machines)
    if resources.metric_gpus and metric is None:
        return 0
    return _trials(resources, machines, metric)


def _trials(resources: Resources, machines: Sequence[Machine], metric: Machine | None) -> int:
    workers = [
        workers_on(resources, m, resources.metric_gpus if m is metric else 0.0) for m in machines
    ]
    each, most = resources.workers, sum(workers) // resources.workers
    if resources.worker_placement == "strict_pack":
        return sum(count // each for count in workers)
    if resources.worker_placement == "strict_spread":
        return next((n for n in range(most, 0, -1) if _spread(workers, n) >= n * each), 0)
    return most


def _spread(workers: Sequence[int], trials: int) -> int:
    """Workers that so many trials can have, if each has at most one on a machine."""
    return sum(min(count, trials) for count in workers)


def what_is_missing(resources: Resources, machine: Machine) -> str:
    """Why a machine has no room for a worker, such as `has 2 of 4 CPU, label zone is a`."""
    found = [
        f"has {machine.amounts.get(name, 0):g} of {amount:g} {name}"
        for name, amount in per_worker(resources).items()
        if not name.startswith(TYPE) and machine.amounts.get(name, 0) < amount
    ]
    kind = resources.accelerator_type
    if kind and not machine.amounts.get(TYPE + kind):
        types = [n.removeprefix(TYPE) for n in machine.amounts if n.startswith(TYPE)]
        named = f"its accelerator is {', '.join(types)}"
        found.append(named if types else "has no accelerator whose type Ray knows")
    for name, wanted in resources.labels.items():
        label = machine.labels.get(name)
        if not matches(wanted, label):
            found.append(f"has no label {name}" if label is None else f"label {name} is {label}")
    return ", ".join(found)


def machine_for(
    resources: Resources, machines: Sequence[Machine], held: Sequence[str], metric: str = ""
) -> Machine | None:
    """The machine for one more trial by `trial_placement`. `held`: the machine of every trial that
    runs, `metric`: that of the shared metric, by Ray's ids. None leaves it to Ray: no placement is
    wanted, a trial has to be on several machines, or none has room."""
    if resources.trial_placement == "any" or (
        resources.workers > 1 and resources.worker_placement in ("spread", "strict_spread")
    ):
        return None

    def room(machine: Machine) -> int:
        part = resources.metric_gpus if machine.node == metric else 0.0
        workers = workers_on(resources, machine, part)
        return workers // resources.workers - held.count(machine.node)

    able = [machine for machine in machines if room(machine) > 0]
    packs = resources.trial_placement == "pack"
    order = max if packs else min
    return order(able, key=lambda machine: held.count(machine.node), default=None)
