"""Submits a trial's job to an executor and returns its outcome."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from typing import Any

from mtray.errors import ProcessMoved, TrialMoved, TrialStopped
from mtray.search.execution.job_messages import Done, Work, WorkerTraceback
from mtray.search.execution.preemption import this_machine, this_node, why_it_moves
from mtray.search.execution.progress import Reporter
from mtray.search.execution.shared import Shared
from mtray.search.ledger.stopwatch import Stopwatch
from mtray.trial.job import Job, Outcome

# seconds until the driver has noticed that the queue is gone and starts no other trial
UNTIL_NOTICED = 10.0


def run_in_executor(
    job: Job, shared: Shared, stopwatch: Stopwatch, reporter: Reporter, batch_share: float = 1.0
) -> Outcome:
    """The outcome of a job, however long it waits for an executor. Raises TrialStopped when asked
    to stop, TrialMoved where the job left its workers, ProcessMoved where this process has to leave
    (the job has stopped then, with a checkpoint), WorkerLost, NodeLost, TimeLimitReached, and any
    other error of a worker."""
    stopwatch.check(shared.study.budget.trial_minutes)
    work = Work(job, batch_share, stopwatch.duration.running)
    ticket = _get(shared.queue.submit.remote(work))
    node, where = _here()

    def leaves() -> bool:
        return reporter.drained(node)

    with stopwatch.waiting():
        _wait_for_executor(shared.queue, ticket, reporter, leaves)
    packed = _get(shared.queue.done.remote(ticket))
    while packed is None:
        if leaves():
            shared.progress_actor.cancel.remote(ticket)
        packed = _get(shared.queue.done.remote(ticket))
    done: Done = pickle.loads(packed)
    if done.failure is not None:
        raise done.failure.error from WorkerTraceback(done.failure.traceback)
    if done.outcome is None:
        if leaves() and not reporter.stopping():
            raise ProcessMoved(why_it_moves(True, False, where))
        raise TrialMoved(done.moved) if done.moved else TrialStopped
    return done.outcome


def _here() -> tuple[str, str]:
    """Ray's id of this machine, and how messages name it."""
    import ray

    return this_node(), this_machine(ray.util.get_node_ip_address())


def _wait_for_executor(
    queue: Any, ticket: int, reporter: Reporter, leaves: Callable[[], bool]
) -> None:
    """Wait; the watchdog reports which resource is missing."""
    while not _get(queue.begun.remote(ticket)):
        if reporter.stopping() and _get(queue.withdraw.remote(ticket)):
            raise TrialStopped
        if leaves() and _get(queue.withdraw.remote(ticket)):
            raise ProcessMoved(why_it_moves(True, False, _here()[1]))


def _get(reference: Any) -> Any:
    """The queue's answer. Raises TrialStopped if its process is gone, which is no fault of the
    trial's and ends the sweep."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayActorError as error:
        time.sleep(UNTIL_NOTICED)
        raise TrialStopped from error
