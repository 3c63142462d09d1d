"""From a trial to Ray Train workers and back. The only file that knows Ray Train.

The plain recipe (a `TorchTrainer` inside a Tune trial) starts six processes for each trial: the
trial's actor, Train's controller, its placement-group cleaner, a data-set manager, a synchroniser
and the worker. `LeanTrainer` keeps the last two: the controller runs inside the trial's own
(reused) actor, so that its placement group and its workers die with that actor, which is what the
cleaner is for; the data-set manager has no data set to manage. `benchmarks/overhead.py` measures
what that saves.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Any

import ray.train
from ray.train.torch import TorchConfig, TorchTrainer

from mtray.errors import TrainError, TrialStopped
from mtray.schema import Study
from mtray.search.board import Reporter
from mtray.training.loop import Place, any_worker
from mtray.trial import Job, Outcome, run_trial

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
_NOT_NEEDED = {"DatasetsCallback", "PlacementGroupCleanerCallback"}


@dataclass(frozen=True)
class Shared:
    """What all trials of a sweep use. The store's tables, the requests and the suite are references
    into Ray's object store."""

    study: Study
    run_dir: str
    store: dict[str, Any]
    requests: Any
    suite: Any
    board: Any


class LeanTrainer(TorchTrainer):
    """A TorchTrainer whose controller runs in the calling process."""

    def _create_default_callbacks(self) -> list[Any]:
        return [
            c for c in super()._create_default_callbacks() if type(c).__name__ not in _NOT_NEEDED
        ]

    def _initialize_and_run_controller(self, **arguments: Any) -> Any:
        from ray.train.v2._internal.execution.controller import TrainController

        controller = TrainController(**arguments)
        asyncio.run(controller.run())
        return controller.get_result()


def worker_loop(config: dict[str, Any]) -> Outcome | None:
    """Runs in every Train worker; None when the trial was asked to stop."""
    shared: Shared = config["shared"]
    job: Job = config["job"]
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    reporter = Reporter(shared.board, job.number, rank)
    names, references = list(shared.store), list(shared.store.values())
    *tables, requests = ray.get([*references, shared.requests])
    try:
        return run_trial(
            job,
            shared.study,
            dict(zip(names, tables, strict=True)),
            requests,
            place=Place(rank, world, any_worker if world > 1 else bool),
            progress=reporter.progress,
            should_stop=reporter.should_stop,
        )
    except TrialStopped:
        return None


def train_in_workers(job: Job, shared: Shared) -> Outcome:
    """Run a trial in its own Train workers. Raises TrialStopped when asked to stop, TrainError with
    the cause otherwise."""
    wanted = shared.study.resources
    per_worker = {"CPU": wanted.cpus_per_worker}
    if wanted.gpus_per_worker:
        per_worker["GPU"] = wanted.gpus_per_worker
    trainer = LeanTrainer(
        worker_loop,
        train_loop_config={"job": job, "shared": shared},
        torch_config=TorchConfig(backend="nccl" if wanted.gpus_per_worker else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=wanted.workers,
            use_gpu=bool(wanted.gpus_per_worker),
            resources_per_worker=per_worker,
        ),
        run_config=ray.train.RunConfig(
            name=f"trial_{job.number:04d}" if job.number >= 0 else "base",
            storage_path=os.path.join(shared.run_dir, "ray_train"),
            failure_config=ray.train.FailureConfig(controller_failure_limit=3),
        ),
    )
    try:
        result = trainer.fit()
    except ray.train.WorkerGroupError as error:
        raise root_cause(error) from error
    if result.return_value is None:
        raise TrialStopped
    return result.return_value  # type: ignore[no-any-return]


def root_cause(error: ray.train.WorkerGroupError) -> Exception:
    """What a worker raised, out of the wrappers; the lowest rank's when several did."""
    failures = error.worker_failures
    if not failures:
        return TrainError(str(error))
    cause = failures[min(failures)]
    inner = getattr(cause, "cause", None) or getattr(cause, "_base_exc", None) or cause.__cause__
    found = inner if isinstance(inner, Exception) else cause
    return found if isinstance(found, Exception) else TrainError(str(found))
