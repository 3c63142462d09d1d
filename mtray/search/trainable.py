"""What Tune runs for each trial: train in workers, score, write the record. Every end leaves a
record, except being stopped."""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Any

from mtray.errors import EvaluationError, MtrayError, TrialStopped
from mtray.evaluation.outputs import read_outputs, write_outputs
from mtray.report.draws import write_draws
from mtray.report.records import BASE_NUMBER, read_record, result_path, trial_dir, write_record
from mtray.schema import TrialRecord
from mtray.search.board import Reporter
from mtray.search.bridge import Shared, train_in_workers
from mtray.trial import Job, Outcome, record_trial, versions

OUTPUTS = "outputs.parquet"


def base_outputs(shared: Shared, suite: Any, reporter: Reporter) -> Any:
    """The base model's answers, once they are there. Raises EvaluationError when its trial
    failed."""
    run_dir = Path(shared.run_dir)
    while not result_path(run_dir, BASE_NUMBER).is_file():
        reporter.progress({"state": "waiting for the base model's scores"})
        if reporter.should_stop():
            raise TrialStopped
        time.sleep(0.2)
    if read_record(result_path(run_dir, BASE_NUMBER)).state != "complete":
        raise EvaluationError(
            "the base model could not be measured, so nothing can be compared with it"
        )
    return read_outputs(trial_dir(run_dir, BASE_NUMBER) / OUTPUTS, suite.requests)


def _score(job: Job, shared: Shared, outcome: Outcome, reporter: Reporter) -> TrialRecord:
    import ray

    suite = ray.get(shared.suite)
    base = None if job.number == BASE_NUMBER else base_outputs(shared, suite, reporter)
    reporter.progress({"state": "scoring"})
    run_dir = Path(shared.run_dir)
    path = trial_dir(run_dir, job.number) / OUTPUTS
    path.parent.mkdir(parents=True, exist_ok=True)
    write_outputs(path, suite.parts, suite.requests, outcome.outputs)
    record, draws = record_trial(job, shared.study, suite, outcome, base)
    write_draws(run_dir, job.number, draws)
    return record


def failed_record(job: Job, error: Exception, seconds: float) -> TrialRecord:
    """A failure is a row: its reason in one line, its traceback kept."""
    first = (str(error).splitlines() or [""])[0]
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return TrialRecord(
        number=job.number, role=job.role, state="failed", recipe=job.recipe, seed=job.seed,
        reason=f"{type(error).__name__}: {first}"[:500], seconds={"total": seconds},
        versions=versions(),
        finished=time.strftime("%Y-%m-%dT%H:%M:%S%z"), extra={"traceback": "".join(lines)[-8000:]},
    )  # fmt: skip


def execute(job: Job, shared: Shared) -> TrialRecord | None:
    """Run one trial to its record; None when it was stopped and can be run again."""
    reporter = Reporter(shared.board, job.number)
    reporter.progress({"state": "starting", "role": job.role, "recipe": job.recipe.model_dump()})
    start = time.perf_counter()
    try:
        outcome = train_in_workers(job, shared)
        record = _score(job, shared, outcome, reporter)
        total = time.perf_counter() - start
        record = record.model_copy(update={"seconds": {**record.seconds, "total": total}})
    except TrialStopped:
        return None
    except Exception as error:  # whatever went wrong, the sweep goes on and the trial has a row
        if reporter.should_stop() and not isinstance(error, MtrayError):
            return None  # workers die under a sweep that is being stopped
        record = failed_record(job, error, time.perf_counter() - start)
    write_record(Path(shared.run_dir), record)
    shared.board.remove.remote(job.number)
    return record


def trainable(config: dict[str, Any], shared: Shared) -> None:
    """Tune's function trainable."""
    from ray import tune

    from mtray.runtime import keep_freed_memory

    keep_freed_memory()
    record = execute(config["job"], shared)
    if record is None:
        tune.report({"number": config["job"].number, "state": "stopped"})
        return
    values = {name: score.value for name, score in record.objectives.items()}
    tune.report({"number": record.number, "state": record.state, **values})
