"""One process of a sweep that scores for all its trials, on a GPU (or a part of one) that it alone
holds. Without `resources.metric_gpus` every trial's own process scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtray.evaluation.metrics import metric_process
from mtray.schema import Study
from mtray.search.execution.placing import Machine, metric_machine

Command = tuple[str, ...] | None  # None: COMET's own


class MetricActor:
    """A Ray actor that answers one request after another, in processes as a trial's own would."""

    def ask(self, command: Command, name: str, what: str, arguments: Sequence[Any]) -> Any:
        """What the method `what` of the metric's process returns, or raises."""
        if command is None:
            return getattr(metric_process.comet_process(), what)(*arguments)
        return getattr(metric_process.command_process(command, name), what)(*arguments)


@dataclass(frozen=True)
class RemoteProcess:
    """A `metric_process.MetricProcess` that the actor runs; raises what that raises."""

    actor: Any
    command: Command
    name: str

    @property
    def what(self) -> str:
        return f"metric {self.name} of the sweep's shared process"

    def load(self, model: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self._ask("load", dict(model)))

    def score(self, model: Mapping[str, Any], segments: Sequence[Sequence[str]]) -> dict[str, Any]:
        return dict(self._ask("score", dict(model), [list(texts) for texts in segments]))

    def count(self, model: Mapping[str, Any], texts: Sequence[str]) -> int:
        return int(self._ask("count", dict(model), list(texts)))

    def _ask(self, what: str, *arguments: Any) -> Any:
        import ray

        return ray.get(self.actor.ask.remote(self.command, self.name, what, arguments))


def score_there(actor: Any) -> None:
    """From now on this process has the actor score."""
    metric_process.score_elsewhere(lambda command, name: RemoteProcess(actor, command, name))


def start_metric(study: Study, machines: Sequence[Machine], run: str) -> tuple[Any, str]:
    """The actor and the id of its machine, where it leaves room for the most trials; (None, "")
    without `metric_gpus`. A lost actor is started again, elsewhere if its machine is gone."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    wanted = study.resources
    if not wanted.metric_gpus:
        return None, ""
    where = metric_machine(wanted, machines)
    options: dict[str, Any] = {"num_cpus": 0, "num_gpus": wanted.metric_gpus, "max_restarts": -1}
    if where is not None:
        there = NodeAffinitySchedulingStrategy(where.node, soft=True)
        options["scheduling_strategy"] = there
    actor = ray.remote(max_task_retries=-1, **options)(MetricActor)
    return actor.options(name=f"mtray:{run} metric").remote(), where.node if where else ""
