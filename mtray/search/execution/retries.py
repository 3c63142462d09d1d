"""Runs a trial's job in an executor, and again after failures that another attempt may fix."""

from __future__ import annotations

from pathlib import Path

from mtray.errors import ProcessMoved, TrialMoved, TrialStopped
from mtray.run_files import trial_dir
from mtray.search.execution.progress import Reporter
from mtray.search.execution.shared import Shared
from mtray.search.execution.submit import run_in_executor
from mtray.search.execution.worker_logs import places_text
from mtray.search.ledger.stopwatch import Stopwatch
from mtray.search.ledger.trial_failures import (
    LOST,
    MOVED,
    Attempt,
    attempt,
    classify,
    may_run_again,
    one_line,
)
from mtray.search.ledger.trial_scratch import last_step, resume_text
from mtray.trial.job import Job, Outcome


def train_with_retries(
    job: Job, shared: Shared, reporter: Reporter, attempts: list[Attempt], stopwatch: Stopwatch
) -> Outcome:
    """The outcome of the first attempt that succeeds; failed ones are appended to `attempts`.

    Out of memory: one more attempt with half the tokens per batch, in training (with more
    micro-batches instead) and in evaluation. Worker or node lost: at most two more attempts from
    the same step; losses after which the trial made progress do not count. Both resume from the
    trial's checkpoint if there is one. Raises what the last attempt raised, TimeLimitReached if the
    attempts together exceed the trial's minutes, TrialStopped if the sweep is being stopped, and
    ProcessMoved if this process has to leave its machine. A trial that only moves to other workers
    has as many attempts as before.
    """
    batch_share = 1.0
    while True:
        try:
            return run_in_executor(job, shared, stopwatch, reporter, batch_share)
        except (TrialStopped, ProcessMoved):
            raise
        except TrialMoved as moved:
            if reporter.stopping():
                raise TrialStopped from moved
            _moves(str(moved), Path(shared.run_dir), job.number, attempts, stopwatch, reporter)
        except Exception as error:
            reason_class = classify(error)
            if reason_class in LOST and reporter.stopping():
                raise TrialStopped from error  # workers die while a sweep is being stopped
            folder = trial_dir(Path(shared.run_dir), job.number)
            step = last_step(folder)
            if not may_run_again(reason_class, attempts, step):
                raise
            then = resume_text(folder)
            if reason_class == "out_of_memory":
                batch_share /= 2
                then = "again at half the micro-batch"
            seconds = stopwatch.end_attempt()
            failed = attempt(reason_class, one_line(error), then, seconds, step)
            where = places_text(folder)
            attempts.append({**failed, "where": where} if where else failed)
            lost = f"{one_line(error)} ({where})" if where else one_line(error)
            reporter.progress({"state": "starting", "retry": f"{lost}; {then}"})


def _moves(
    why: str,
    run_dir: Path,
    number: int,
    attempts: list[Attempt],
    stopwatch: Stopwatch,
    reporter: Reporter,
) -> None:
    """Note and tell that a trial goes on elsewhere."""
    folder = trial_dir(run_dir, number)
    then, seconds = resume_text(folder), stopwatch.end_attempt()
    attempts.append(attempt(MOVED, why, then, seconds, last_step(folder)))
    reporter.progress({"state": "starting", "moved": f"{why}; {then}"})
