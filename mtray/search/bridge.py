"""From a trial to Ray Train workers and back. The only file that knows Ray Train.

The plain recipe (a `TorchTrainer` inside a Tune trial) starts six processes for each trial: the
trial's actor, Train's controller, its placement-group cleaner, a data-set manager, a synchroniser
and the worker. `LeanTrainer` keeps the last two: the controller runs inside the trial's own
(reused) actor; the placement group has a name, by which the sweep gives it back when that actor is
killed (`free_workers`), which is what the cleaner is for; the data-set manager has no data set to
manage. `benchmarks/overhead.py` measures what that saves.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.train
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.worker_group import WorkerGroup, WorkerGroupContext
from ray.train.v2._internal.execution.worker_group.placement_group_handle import (
    DefaultPlacementGroupHandle,
)
from ray.train.v2.api.exceptions import TrainingFailedError
from ray.util.placement_group import (
    get_placement_group,
    placement_group,
    remove_placement_group,
)

from mtray.divergence import divergence_plan
from mtray.errors import NodeLost, TrainError, TrialStopped, WorkerLost
from mtray.job import DivergencePlan, How, Job, Keep, Outcome, RungPlan
from mtray.report.records import BASE_NUMBER, trial_dir
from mtray.schema import Study
from mtray.search.base_answers import base_if_there
from mtray.search.board import Question, Reporter, ask_board
from mtray.search.failures import LOST, classify, most_telling
from mtray.search.handing import Handed, take
from mtray.search.stopwatch import Stopwatch, over_time
from mtray.training.moved import moved_file, save_moved
from mtray.training.worker import Worker, place_in_group
from mtray.trial import run_trial

# read by Ray Train in the processes of the sweep; set for the whole job so that workers of any
# trial are alike
ENVIRONMENT = {
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_WARN_BLOCKING_GET_INSIDE_ASYNC": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "TOKENIZERS_PARALLELISM": "false",
}
NODE_SECONDS = 20.0  # Ray's health check gives a machine up after five times 3 s
Waiting = Callable[[], AbstractContextManager[None]]
_NOT_NEEDED = {"DatasetsCallback", "PlacementGroupCleanerCallback"}


@dataclass(frozen=True)
class Shared:
    """What all trials of a sweep use. The requests and the suite are references into Ray's object
    store. `similar`: `mtray.evaluation.similarity.Means`, where the study asks for them."""

    study: Study
    run_dir: str
    store: dict[str, Handed]
    requests: Any
    suite: Any
    board: Any
    similar: Any = None


class WorkersPending(Exception):
    """The cluster has had no room for a trial's workers so far."""


def worker_groups(waiting: Waiting) -> type[WorkerGroup]:
    """A class of worker groups whose placement group is found again by the run's name. `waiting` is
    entered while the cluster makes room for it."""

    class Handle(DefaultPlacementGroupHandle):
        def wait(self, timeout_seconds: float = 30) -> bool:
            with waiting():
                return bool(super().wait(timeout_seconds))

    class NamedWorkerGroup(WorkerGroup):
        def _create_placement_group(
            self, scaling_config: ray.train.ScalingConfig, worker_group_context: WorkerGroupContext
        ) -> DefaultPlacementGroupHandle:
            wanted = worker_group_context
            bundle, count = wanted.resources_per_worker, wanted.num_workers
            name = self._train_run_context.run_config.name
            group = placement_group([bundle] * count, wanted.placement_strategy, name)
            return Handle(group)

    return NamedWorkerGroup


def run_name(number: int) -> str:
    return "base" if number == BASE_NUMBER else f"trial_{number:04d}"


def free_workers(number: int) -> None:
    """Give back what the workers of a trial hold whose own process was killed. Ray does so only
    when the driver ends, and until then no other trial could have it."""
    try:
        group = get_placement_group(run_name(number))
    except ValueError:
        return  # there is none
    remove_placement_group(group)


class LeanTrainer(TorchTrainer):
    """A TorchTrainer whose controller runs in the calling process; `waiting` as in
    `worker_groups`."""

    def __init__(self, *arguments: Any, waiting: Waiting, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._waiting = waiting

    def _create_default_callbacks(self) -> list[Any]:
        return [
            c for c in super()._create_default_callbacks() if type(c).__name__ not in _NOT_NEEDED
        ]

    def _initialize_and_run_controller(self, **arguments: Any) -> Any:
        controller = TrainController(**arguments)
        controller.worker_group_cls = worker_groups(self._waiting)
        asyncio.run(controller.run())
        return controller.get_result()


class TrialClock:
    """`should_stop`, which also says so once the trial's minutes are over, of which `spent` seconds
    were before; `over` tells which."""

    def __init__(
        self, minutes: float | None, should_stop: Callable[[], bool], spent: float = 0.0
    ) -> None:
        self._until = time.monotonic() + minutes * 60 - spent if minutes else math.inf
        self._should_stop = should_stop
        self.over = False

    def __call__(self) -> bool:
        self.over = self.over or time.monotonic() > self._until
        return self.over or self._should_stop()


def worker_loop(config: dict[str, Any]) -> Outcome | None:
    """Runs in every Train worker; None when the trial was asked to stop. Raises TimeLimitReached
    when it was the trial's own time that was over."""
    shared: Shared = config["shared"]
    job: Job = config["job"]
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    reporter = Reporter(shared.board, job.number, rank)
    minutes = shared.study.budget.trial_minutes
    clock = TrialClock(minutes, reporter.should_stop, config["spent"])
    try:
        keep, stop_after = _keeper(job, shared, rank), job.recipe.stop_after
        how = How(
            rungs=_rung_plan(job, shared, clock),
            keep_in=trial_dir(Path(shared.run_dir), job.number),
            use=keep and (lambda module, tokenizer: keep(stop_after, module)),
            keep=keep if job.recipe.alpha == 1 else None,
            divergence=_divergence_plan(job, shared, rank),
        )
        place = place_in_group(rank, world)
        worker = Worker(place, config["batch_share"], reporter.progress, clock)
        requests = ray.get(shared.requests)
        return run_trial(job, shared.study, take(shared.store), requests, how, worker)
    except TrialStopped:
        if clock.over:
            assert minutes is not None
            raise over_time(minutes) from None
        return None


def _keeper(job: Job, shared: Shared, rank: int) -> Keep | None:
    """What keeps the weights of a trial that may be on the front; they are as they were trained,
    unless the recipe itself goes part of the way back (its intermediate checkpoints are not kept
    then)."""
    if shared.study.training.keep_weights == "none" or rank or not job.recipe.parallel_size:
        return None
    folder = trial_dir(Path(shared.run_dir), job.number)
    return lambda stop_after, module: save_moved(module, folder / moved_file(stop_after))


def _divergence_plan(job: Job, shared: Shared, rank: int) -> DivergencePlan | None:
    """One worker has the whole model, and few prompts are not worth sharing."""
    if rank or not job.recipe.parallel_size:
        return None
    suite, run_dir = ray.get(shared.suite), Path(shared.run_dir)
    return divergence_plan(shared.study, suite, lambda: base_if_there(run_dir, suite))


def _rung_plan(job: Job, shared: Shared, should_stop: Callable[[], bool]) -> RungPlan | None:
    rule = shared.study.early_stopping
    if rule is None or job.replicate:  # a mean over the seeds that got through would flatter
        return None
    part = ray.get(shared.suite).part(rule.segments)
    return RungPlan(
        rule.rungs,
        part.requests,
        lambda reached, outputs, seconds: ask_board(
            shared.board, job.number, Question(reached, outputs, seconds), should_stop
        ),
    )


def train_in_workers(
    job: Job, shared: Shared, stopwatch: Stopwatch, batch_share: float = 1.0
) -> Outcome:
    """Run a trial in its own Train workers, with this share of the usual tokens in a batch. Raises
    TrialStopped when asked to stop, WorkersPending after a minute without room for them, WorkerLost
    or NodeLost, TimeLimitReached, and what a worker raised otherwise."""
    stopwatch.check(shared.study.budget.trial_minutes)
    wanted = shared.study.resources
    per_worker = {"CPU": wanted.cpus_per_worker}
    if wanted.gpus_per_worker:
        per_worker["GPU"] = wanted.gpus_per_worker
    trainer = LeanTrainer(
        worker_loop,
        waiting=stopwatch.waiting,
        train_loop_config={
            "job": job,
            "shared": shared,
            "batch_share": batch_share,
            "spent": stopwatch.duration.running,
        },
        torch_config=TorchConfig(backend="nccl" if wanted.gpus_per_worker else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=wanted.workers,
            use_gpu=bool(wanted.gpus_per_worker),
            resources_per_worker=per_worker,
        ),
        run_config=ray.train.RunConfig(
            name=run_name(job.number),
            storage_path=os.path.join(shared.run_dir, "ray_train"),
            # what is tried again, and how often, is for `mtray.search.attempts` to say
            failure_config=ray.train.FailureConfig(controller_failure_limit=0),
        ),
    )
    nodes = alive_nodes()
    try:
        result = trainer.fit()
    except TrainingFailedError as error:
        raise root_cause(error, nodes) from error
    if result.return_value is None:
        raise TrialStopped
    return result.return_value  # type: ignore[no-any-return]


def alive_nodes() -> set[str]:
    """Ids of the cluster's machines."""
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def lost_error(what: str, nodes_before: set[str]) -> WorkerLost:
    """WorkerLost, or NodeLost where a machine that was there before is gone, too; where there are
    several, waits until Ray would have noticed."""
    until = time.monotonic() + (NODE_SECONDS if len(nodes_before) > 1 else 0)
    while not (gone := nodes_before - alive_nodes()) and time.monotonic() < until:
        time.sleep(0.5)
    if gone:
        return NodeLost(f"{what} when a node of the cluster was lost")
    return WorkerLost(f"{what} (killed, or out of memory?)")


def root_cause(error: TrainingFailedError, nodes_before: set[str]) -> Exception:
    """What a worker raised, out of Ray's wrappers."""
    if isinstance(getattr(error, "controller_failure", None), WorkerGroupStartupTimeoutError):
        return WorkersPending()
    failures = getattr(error, "worker_failures", None)
    if classify(error) in LOST or (failures and classify(most_telling(failures)) in LOST):
        return lost_error("a worker process of the trial ended", nodes_before)
    if not failures:
        return TrainError(str(error))
    cause = most_telling(failures)
    inner = getattr(cause, "cause", None) or getattr(cause, "_base_exc", None) or cause.__cause__
    found = inner if isinstance(inner, Exception) else cause
    return found if isinstance(found, Exception) else TrainError(str(found))
