"""The loop of an executor's workers: one job after another, in the same process and process group.
A job leaves no state behind for the next one."""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray

from mtray.errors import ConfigError, DataError, TrialMoved, TrialStopped
from mtray.run_files import trial_dir, trial_name, weights_file
from mtray.schema import Study
from mtray.search.early_stopping.rung_files import RungQuestion
from mtray.search.execution.job_messages import Assignment, Done, Work, failure_of, packed_failure
from mtray.search.execution.nodes import workers_here
from mtray.search.execution.preemption import (
    terminated,
    this_machine,
    this_node,
    why_it_moves,
)
from mtray.search.execution.progress import Reporter, ask_whether_to_stop
from mtray.search.execution.shared import Shared
from mtray.search.execution.store_transport import receive_tables
from mtray.search.execution.worker_logs import output_into
from mtray.search.ledger.base_outputs import read_base_outputs
from mtray.search.ledger.stopwatch import over_time
from mtray.search.ledger.trial_owner import Owner
from mtray.training.base_model import BaseModels
from mtray.training.isolation import MemoryWatch, begin_alike, give_back_memory
from mtray.training.trainable_weights import save_trainable
from mtray.training.worker import ProcessGroup, Progress, Worker, join_process_group
from mtray.trial.divergence import divergence_plan
from mtray.trial.job import DivergencePlan, Job, KeepModel, Outcome, RungPlan, RunOptions
from mtray.trial.run import run_trial

JOBS = 50  # an executor is restarted after this many jobs


class TrialClock:
    """A `should_stop` that is also true once the trial's time limit has passed, of which earlier
    attempts used `spent` seconds. `over`: whether the limit was the reason."""

    def __init__(
        self, minutes: float | None, should_stop: Callable[[], bool], spent: float = 0.0
    ) -> None:
        self._until = time.monotonic() + minutes * 60 - spent if minutes else math.inf
        self._should_stop = should_stop
        self.over = False

    def __call__(self) -> bool:
        self.over = self.over or time.monotonic() > self._until
        return self.over or self._should_stop()


def worker_loop(config: dict[str, Any]) -> None:
    """Runs in every Train worker until there are no more jobs. An error ends it and the
    executor."""
    from ray import train

    queue, name = config["shared"].queue, config["executor"]
    context = train.get_context()
    place = join_process_group(context.get_world_rank(), context.get_world_size())
    try:
        if not place.rank:
            ray.get(queue.place.remote(name, ray.util.get_current_placement_group()))
        workplace = _Workplace(config["shared"], place)
        jobs = _assignments(queue, name, place, workplace.leaves)
        for position, assignment in enumerate(jobs):
            done = workplace.run(assignment)
            if done.moved:  # before the trial submits its job again
                ray.get(queue.retire.remote(name))
            # an answer that did not arrive is reported as an error
            if not place.rank:
                ray.get(queue.finish.remote(assignment.ticket, pickle.dumps(done)))
            if workplace.grown() or position + 1 >= JOBS:
                ray.get(queue.retire.remote(name))
    except Exception as error:
        with suppress(ray.exceptions.RayError):
            ray.get(queue.fail.remote(name, place.rank, packed_failure(error)))
        raise


def _assignments(queue: Any, executor: str, place: ProcessGroup, leaves: Callable[[], bool]) -> Any:
    """The executor's jobs; waits for each. `leaves`: whether this worker takes no more."""
    position = 0
    while True:
        found: Assignment | None = ray.get(
            queue.take.remote(executor, position, place.rank, place.world)
        )
        if found is None:
            if leaves():
                ray.get(queue.retire.remote(executor))
            continue
        if found.work is None:
            return
        if not place.rank:
            ray.get(queue.begin.remote(found.ticket))
        yield found
        position += 1


class _Workplace:
    """State that a worker keeps between jobs."""

    def __init__(self, shared: Shared, place: ProcessGroup) -> None:
        self._shared, self._place = shared, place
        self._store, self._requests = receive_tables(shared.store), ray.get(shared.requests)
        self._suite = ray.get(shared.suite)
        self._models = BaseModels(keep=True, workers=workers_here(shared.study.resources))
        self._memory = MemoryWatch()
        self._address, self._node = ray.util.get_node_ip_address(), this_node()
        _read_what_trials_need(self._models, shared.study)

    def grown(self) -> bool:
        """Whether jobs leaked so much memory that the process should be replaced."""
        give_back_memory()
        self._memory.note()
        return self._memory.grown()

    def run(self, assignment: Assignment) -> Done:
        """Run a job. Raises what the trial raises, but a single worker returns a ConfigError or
        DataError as a failure."""
        work, ticket = assignment.work, assignment.ticket
        assert work is not None
        begin_alike()
        folder, name, place = self._folder(work.job), trial_name(work.job.number), self._place
        output = output_into(folder, name, place.rank, place.world, self._address)
        try:
            with output:
                return Done(self._outcome(work, ticket))
        except TrialStopped:
            return Done()
        except TrialMoved as moved:
            return Done(moved=str(moved))
        except (ConfigError, DataError) as error:
            if self._place.world > 1:  # other ranks may go on and wait for this one
                raise
            return Done(failure=failure_of(error))

    def _outcome(self, work: Work, ticket: int) -> Outcome:
        """Raises TrialStopped if asked to stop, TrialMoved if a worker will soon be gone,
        TimeLimitReached if the trial's own time limit passed."""
        job, study, rank = work.job, self._shared.study, self._place.rank
        reporter = Reporter(
            self._shared.progress_actor, job.number, rank, ticket=ticket, node=self._node
        )
        minutes = study.budget.trial_minutes
        clock = TrialClock(minutes, lambda: terminated() or reporter.should_stop(), work.spent)
        owner, stop_after = Owner(self._folder(job), "workers"), job.recipe.stop_after
        if not rank:
            owner.take()
        keep = _keeper(job, study, self._folder(job), rank, owner.check)
        options = RunOptions(
            rungs=self._rung_plan(job, clock),
            keep_in=self._folder(job),
            guard=owner.check,
            use=keep and (lambda module, tokenizer: keep(stop_after, module)),
            keep=keep if job.recipe.reversion_alpha == 1 else None,
            divergence=self._divergence_plan(job),
        )
        progress = with_gpu_memory(reporter.progress)
        worker = Worker(self._place, work.batch_share, progress, clock, self._models)
        try:
            return run_trial(job, study, self._store, self._requests, options, worker)
        except TrialStopped:
            if self._place.agree(clock.over):  # raised on all workers at once
                assert minutes is not None
                raise over_time(minutes) from None
            self._move(reporter)
            raise

    def leaves(self) -> bool:
        """Whether this worker will soon be gone."""
        return terminated() or Reporter(self._shared.progress_actor, 0).drained(self._node)

    def _move(self, reporter: Reporter) -> None:
        """Raise TrialMoved on all workers if one of them will soon be gone."""
        where = this_machine(self._address)
        why = why_it_moves(reporter.drained(self._node), terminated(), where)
        if self._place.agree(bool(why)):
            told = [found for found in self._place.gather(why) or [why] if found]
            raise TrialMoved(next(iter(told), "another worker of the trial will soon be gone"))

    def _folder(self, job: Job) -> Path:
        return trial_dir(Path(self._shared.run_dir), job.number)

    def _divergence_plan(self, job: Job) -> DivergencePlan | None:
        """The divergence plan of rank 0, which holds the whole model; a few prompts are not worth
        distributing."""
        if self._place.rank or not job.recipe.parallel_size:
            return None
        suite, run_dir = self._suite, Path(self._shared.run_dir)
        return divergence_plan(self._shared.study, suite, lambda: read_base_outputs(run_dir, suite))

    def _rung_plan(self, job: Job, should_stop: Callable[[], bool]) -> RungPlan | None:
        rule, progress_actor = self._shared.study.early_stopping, self._shared.progress_actor
        # a mean over the seeds that survived would be biased upwards
        if rule is None or job.replicate:
            return None
        part = self._suite.part(rule.segments)
        return RungPlan(
            rule.rungs,
            part.requests,
            lambda reached, outputs, seconds: ask_whether_to_stop(
                progress_actor, job.number, RungQuestion(reached, outputs, seconds), should_stop
            ),
        )


def with_gpu_memory(progress: Progress) -> Progress:
    """Reports of training with the most GPU memory so far, where there is a GPU."""

    def report(fields: dict[str, Any]) -> None:
        import torch

        if "loss" in fields and torch.cuda.is_available():
            fields = {**fields, "gpu_memory_bytes": torch.cuda.max_memory_allocated()}
        progress(fields)

    return report


def _keeper(
    job: Job, study: Study, folder: Path, rank: int, guard: Callable[[], None] = lambda: None
) -> KeepModel | None:
    """Saves the trained weights of a trial that may be on the front. They are saved as trained
    unless the recipe itself reverts part of the update (its intermediate checkpoints are not saved
    then)."""
    if study.training.keep_weights == "none" or rank or not job.recipe.parallel_size:
        return None

    def keep(stop_after: float, module: Any) -> None:
        guard()
        save_trainable(module, folder / weights_file(stop_after))

    return keep


def _read_what_trials_need(models: BaseModels, study: Study) -> None:
    """Now, while there is no job, and not as a part of what the first one costs."""
    import peft  # noqa: F401
    import torch

    from mtray.training.engine import import_deepspeed

    import_deepspeed()
    if torch.cuda.is_available():
        some = torch.ones(8, 8, device="cuda")
        (some @ some).sum().item()  # creates the context and loads cuBLAS
    models.read(study.model, study.trust_remote_code)
