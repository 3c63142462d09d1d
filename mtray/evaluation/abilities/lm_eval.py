"""Ability: any task of EleutherAI's LM evaluation harness whose metric is a mean over its documents
(`pip install "mtray[lm-eval]"`). Unit: that of the metric; see
`mtray.evaluation.abilities.lm_eval_tasks`.

The floor is chance for multiple choice and 0 for generated answers, unless `floor` sets another
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from mtray.analysis.uncertainty import Measurement, mean_measurement
from mtray.errors import ConfigError
from mtray.evaluation.abilities.base import Context, Tools, check_outputs, evenly, options_of
from mtray.evaluation.abilities.lm_eval_tasks import (
    Document,
    TaskSpec,
    chance,
    documents,
    filters,
    judged,
    loaded,
    mean_metrics,
    request_of,
)
from mtray.evaluation.inference.requests import Output, Request
from mtray.schema import AbilitySpec, Frozen


@dataclass(frozen=True)
class Harness:
    """A task of the harness as an ability.

    kept: indices of the evaluated documents among all of the task.
    sizes: number of requests of each.

    The task itself is loaded where it is needed and not sent to workers.
    """

    name: str
    requests: list[Request]
    wanted: TaskSpec
    metrics: tuple[str, ...]
    filter_name: str
    kept: tuple[int, ...]
    sizes: tuple[int, ...]
    floor: float

    def _chosen(self) -> list[Document]:
        every = documents(loaded(self.wanted))
        return [every[i] for i in self.kept]

    def _values(self, outputs: Sequence[Output]) -> dict[str, Measurement]:
        check_outputs(self.name, self.requests, outputs)
        found = judged(self._chosen(), outputs, self.filter_name)
        return {
            metric: mean_measurement(
                np.array([float(values[metric]) for values in found]), self._signature(metric)
            )
            for metric in self.metrics
        }

    def _signature(self, metric: str) -> str:
        from importlib.metadata import version

        shots = "task's" if self.wanted.shots is None else self.wanted.shots
        return (
            f"{metric}|lm-eval-{version('lm-eval')}|task:{self.wanted.task}|shots:{shots}"
            f"|filter:{self.filter_name}"
        )

    def measure(self, outputs: Sequence[Output], tools: Tools) -> Measurement:
        return self._values(outputs)[self.metrics[0]]

    def extras(self, outputs: Sequence[Output], tools: Tools) -> dict[str, Measurement]:
        """The task's other metrics."""
        values = self._values(outputs)
        return {metric: values[metric] for metric in self.metrics[1:]}

    def counts(self, outputs: Sequence[Output]) -> dict[str, float]:
        return {
            "documents": float(len(self.kept)),
            "requests": float(len(outputs)),
            "truncated": float(sum(o.truncated for o in outputs)),
        }

    def part(self, share: float) -> Harness:
        keep = evenly(len(self.kept), share)
        ends = list(accumulate(self.sizes))
        requests = [r for i in keep for r in self.requests[ends[i] - self.sizes[i] : ends[i]]]
        return replace(
            self, requests=requests, kept=tuple(self.kept[i] for i in keep),
            sizes=tuple(self.sizes[i] for i in keep),
        )  # fmt: skip


class Options(Frozen):
    task: str
    metric: str | None = None
    filter: str | None = None
    shots: Annotated[int, Field(ge=0, le=50)] | None = None
    floor: float | None = None


def _metrics(tasks: Sequence[Any], wanted: str | None, name: str) -> tuple[str, ...]:
    """The metric that is the value, then the others that all tasks have."""
    shared = [m for m in mean_metrics(tasks[0]) if all(m in mean_metrics(t) for t in tasks)]
    first = wanted or next(iter(shared), None)
    if first not in shared:
        raise ConfigError(
            f"ability {name!r}: `metric` must be a mean over the task's documents, found {first}; "
            f"allowed: {', '.join(shared) or 'none, the task has no such metric'}"
        )
    return (first, *(metric for metric in shared if metric != first))


def _filter(tasks: Sequence[Any], wanted: str | None, name: str) -> str:
    shared = [f for f in filters(tasks[0]) if all(f in filters(t) for t in tasks)]
    first = wanted or next(iter(shared), None)
    if first not in shared:
        raise ConfigError(
            f"ability {name!r}: unknown `filter` {first!r}; allowed: {', '.join(shared)}"
        )
    return first


def build(spec: AbilitySpec, context: Context) -> Harness:
    """Options: `task`, `metric`, `filter`, `shots`, `floor`; `path`, if given, is a folder of task
    definitions; `size` limits the documents of each task."""
    options = options_of(context.name, spec, Options)
    if not isinstance(spec.path, str):
        raise ConfigError(f"ability {context.name!r}: `path` must be one folder")
    wanted = TaskSpec(
        options.task, spec.path, spec.size, options.shots, spec.take, context.sample_seed
    )
    tasks = loaded(wanted)
    every = documents(tasks)
    if options.floor is None:
        floor = float(np.mean([chance(task, instances) for task, instances in every]))
    else:
        floor = options.floor
    return Harness(
        context.name,
        [request_of(i, context.max_new_tokens) for _, instances in every for i in instances],
        wanted,
        _metrics(tasks, options.metric, context.name),
        _filter(tasks, options.filter, context.name),
        tuple(range(len(every))),
        tuple(len(instances) for _, instances in every),
        floor,
    )
