"""What Tune runs for each trial: train in workers, score, write the record. Every end leaves a
record, except being stopped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mtray.errors import EvaluationError, RunError, TrialStopped
from mtray.evaluation.outputs import OUTPUTS_FILE, read_outputs, write_outputs
from mtray.job import Job, Outcome, Reverted
from mtray.report.draws import write_draws
from mtray.report.records import (
    BASE_NUMBER,
    read_record,
    result_path,
    reverted_number,
    trial_dir,
)
from mtray.schema import Rung, Study, TrialRecord, moved_by
from mtray.search.attempts import train_with_attempts
from mtray.search.board import Reporter
from mtray.search.bridge import Shared
from mtray.search.failures import (
    LOST,
    Attempt,
    classify,
    failed_record,
    is_disk_full,
    with_attempts,
)
from mtray.search.family import write_family
from mtray.search.on_the_way import KeptRungs, forget_trial
from mtray.search.referee import Referee
from mtray.search.stopwatch import Stopwatch
from mtray.trial_record import record_trial


def base_outputs(shared: Shared, suite: Any, reporter: Reporter, stopwatch: Stopwatch) -> Any:
    """The base model's answers, once they are there. Raises EvaluationError when its trial
    failed."""
    run_dir = Path(shared.run_dir)
    with stopwatch.waiting():
        while not result_path(run_dir, BASE_NUMBER).is_file():
            reporter.progress({"state": "waiting for the base model's scores"})
            if reporter.should_stop():
                raise TrialStopped
            time.sleep(0.2)
    if read_record(result_path(run_dir, BASE_NUMBER)).state != "complete":
        raise EvaluationError(
            "the base model could not be measured, so nothing can be compared with it"
        )
    return read_outputs(trial_dir(run_dir, BASE_NUMBER) / OUTPUTS_FILE, suite.requests, suite.parts)


def base_if_there(shared: Shared, suite: Any) -> Any:
    """The base model's answers; None while there are none to be read."""
    run_dir = Path(shared.run_dir)
    path = result_path(run_dir, BASE_NUMBER)
    with contextlib.suppress(RunError):  # a damaged file is an error when the trial is scored
        if path.is_file() and read_record(path).state == "complete":
            return read_outputs(
                trial_dir(run_dir, BASE_NUMBER) / OUTPUTS_FILE, suite.requests, suite.parts
            )
    return None


def _score(
    job: Job, shared: Shared, outcome: Outcome, reporter: Reporter, stopwatch: Stopwatch
) -> tuple[TrialRecord, list[TrialRecord]]:
    """The records of the trial and of its model at other alphas; only what stands beside records is
    written."""
    import ray

    suite = ray.get(shared.suite)
    if shared.similar is not None and outcome.mix.shares:
        outcome = replace(outcome, notes={**outcome.notes, "des": shared.similar.des(outcome.mix)})
    base = None
    if job.number != BASE_NUMBER:
        base = base_outputs(shared, suite, reporter, stopwatch)
    reporter.progress({"state": "scoring"})
    run_dir = Path(shared.run_dir)
    path = trial_dir(run_dir, job.number) / OUTPUTS_FILE
    write_outputs(path, suite.parts, suite.requests, outcome.outputs)
    record, draws = record_trial(job, shared.study, suite, outcome, base)
    write_draws(run_dir, job.number, draws)
    return record, [_score_reverted(job, shared, outcome, r, base) for r in outcome.reverted]


def reverted_job(job: Job, study: Study, alpha: float) -> Job:
    """A trial's model at another alpha as a job of its own; it is no baseline, whatever the trial
    is."""
    place = study.evaluation.reversion.index(alpha)
    return replace(
        job, number=reverted_number(job.number, place), role="search", trained_as=job.number,
        recipe=job.recipe.model_copy(update={"alpha": alpha}),
        of=None if job.of is None else reverted_number(job.of, place),
    )  # fmt: skip


def _score_reverted(
    job: Job, shared: Shared, outcome: Outcome, reverted: Reverted, base: Any
) -> TrialRecord:
    """A row of its own, with what training it took and the seconds of its own evaluation."""
    import ray

    suite, run_dir = ray.get(shared.suite), Path(shared.run_dir)
    own, start = reverted_job(job, shared.study, reverted.alpha), time.perf_counter()
    phases = {k: v for k, v in outcome.seconds.items() if k not in ("generation", "reversion")}
    seconds = {**phases, "generation": reverted.seconds}
    path = trial_dir(run_dir, own.number) / OUTPUTS_FILE
    write_outputs(path, suite.parts, suite.requests, reverted.outputs)
    try:
        training, gone = outcome.training, job.recipe.alpha
        if training is not None and gone:
            training = moved_by(training, reverted.alpha / gone)
        found = replace(
            outcome, outputs=reverted.outputs, training=training, seconds=seconds, reverted=()
        )
        record, draws = record_trial(own, shared.study, suite, found, base)
        write_draws(run_dir, own.number, draws)
    except Exception as error:  # the trial itself was measured
        if is_disk_full(error):
            raise
        record = failed_record(own, error, {"total": time.perf_counter() - start}, scoring=True)
    return record


def pruned_record(job: Job, outcome: Outcome, curve: Sequence[Rung]) -> TrialRecord:
    """What is left of a trial that a rung ended: its curve up to there, and why."""
    return TrialRecord(
        number=job.number, role=job.role, state="pruned", recipe=job.recipe, seed=job.seed,
        replicate=job.replicate, of=job.of, mix=outcome.mix, training=outcome.training,
        reason=curve[-1].decision, seconds=outcome.seconds, versions=outcome.versions,
        finished=time.strftime("%Y-%m-%dT%H:%M:%S%z"), extra=dict(outcome.notes),
    )  # fmt: skip


def _referee(job: Job, shared: Shared) -> Referee:
    import ray

    suite = ray.get(shared.suite)
    kept = KeptRungs(trial_dir(Path(shared.run_dir), job.number))
    return Referee(
        job, shared.study, shared.board, suite, lambda: base_if_there(shared, suite), kept
    )


def execute(job: Job, shared: Shared) -> TrialRecord | None:
    """Run one trial to its record; None when it was stopped and can be run again. A full disk is
    raised and leaves no record: the trial runs again once there is room."""
    reporter = Reporter(shared.board, job.number)
    reporter.progress({"state": "starting", "role": job.role, "recipe": job.recipe.model_dump()})
    folder = trial_dir(Path(shared.run_dir), job.number)
    with Stopwatch(folder) as stopwatch:
        found = _run(job, shared, reporter, stopwatch)
    if found is None:
        return None
    record, reverted = found
    write_family(Path(shared.run_dir), record, reverted)
    forget_trial(folder)
    shared.board.remove.remote(job.number)
    return record


def _run(
    job: Job, shared: Shared, reporter: Reporter, stopwatch: Stopwatch
) -> tuple[TrialRecord, list[TrialRecord]] | None:
    """As `execute`, but for writing the records: the trial's, and those at other alphas."""
    referee = _referee(job, shared)
    attempts: list[Attempt] = [*job.attempts]
    scoring, reverted = False, list[TrialRecord]()
    try:
        with referee:
            outcome = train_with_attempts(job, shared, reporter, attempts, stopwatch)
        scoring = True
        if outcome.pruned:
            record = pruned_record(job, outcome, referee.curve)
        else:
            record, reverted = _score(job, shared, outcome, reporter, stopwatch)
        referee.finish()
        seconds = all_seconds(record.seconds, stopwatch, outcome.restored)
        record = record.model_copy(update={"seconds": seconds})
    except TrialStopped:
        return None
    except Exception as error:  # whatever went wrong, the sweep goes on and the trial has a row
        if is_disk_full(error):
            raise
        if classify(error) in LOST and reporter.stopping():
            return None  # workers die under a sweep that is being stopped
        record, reverted = failed_record(job, error, stopwatch.duration.seconds, scoring), []
    record = with_attempts(record.model_copy(update={"rungs": referee.curve}), attempts)
    return record, reverted


def all_seconds(
    phases: Mapping[str, float], stopwatch: Stopwatch, restored: float
) -> dict[str, float]:
    """A record's seconds. `restored`: those of the phases that a checkpoint brought, which earlier
    attempts ran for; what they ran for beyond that is lost."""
    ran, spent = stopwatch.duration, sum(phases.values())
    found = {**phases, **ran.seconds, "total": max(ran.running, spent)}
    lost = stopwatch.failed - restored
    return found | ({"lost": lost} if lost > 0 else {})


def trainable(config: dict[str, Any], shared: Shared) -> None:
    """Tune's function trainable."""
    from ray import tune

    from mtray.runtime import keep_freed_memory, show_gpus

    keep_freed_memory()
    if shared.study.evaluation.comet_device == "gpu":
        show_gpus()
    try:
        record = execute(config["job"], shared)
    except Exception as error:
        if not is_disk_full(error):
            raise
        tune.report({"number": config["job"].number, "state": "disk_full"})
        return
    if record is None:
        tune.report({"number": config["job"].number, "state": "stopped"})
        return
    values = {name: score.value for name, score in record.objectives.items()}
    tune.report({"number": record.number, "state": record.state, **values})
