"""The function that Tune runs for each trial: train in workers, score, write the record. Every
trial leaves a record unless it was stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from mtray.errors import EvaluationError, ProcessMoved, TakenOver, TrialStopped
from mtray.evaluation.output_files import read_outputs, write_outputs
from mtray.report.bootstrap_draws import write_draws
from mtray.report.records import read_record
from mtray.run_files import BASE_NUMBER, OUTPUTS_FILE, further_number, result_path, trial_dir
from mtray.schema import Study, TrialRecord, moved_by
from mtray.search.early_stopping.rung_evaluation import RungEvaluator
from mtray.search.early_stopping.rung_files import RungFiles
from mtray.search.execution.incomplete_records import pruned_record, stopped_record
from mtray.search.execution.progress import Reporter
from mtray.search.execution.retries import train_with_retries
from mtray.search.execution.shared import Shared
from mtray.search.execution.shared_metric import score_there
from mtray.search.execution.worker_logs import forget_logs, places_record
from mtray.search.ledger.base_outputs import read_base_outputs
from mtray.search.ledger.record_family import write_family
from mtray.search.ledger.stopwatch import Stopwatch
from mtray.search.ledger.trial_failures import (
    LOST,
    Attempt,
    classify,
    failed_record,
    is_disk_full,
    with_attempts,
)
from mtray.search.ledger.trial_owner import Owner
from mtray.search.ledger.trial_scratch import delete_scratch
from mtray.trial.job import IntermediatePoint, Job, Outcome, ReversionPoint
from mtray.trial.record import record_trial


def base_outputs(shared: Shared, suite: Any, reporter: Reporter, stopwatch: Stopwatch) -> Any:
    """The base model's answers; waits for them. Raises EvaluationError if its trial failed."""
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


def _score(
    job: Job,
    shared: Shared,
    outcome: Outcome,
    reporter: Reporter,
    stopwatch: Stopwatch,
    guard: Callable[[], None],
) -> tuple[TrialRecord, list[TrialRecord]]:
    """The records of the trial and of its further points. Writes only files beside the records,
    each after `guard`, which raises TakenOver where another process has the trial by now."""
    import ray

    suite, base = ray.get(shared.suite), None
    outcome = _with_des(outcome, shared)
    if job.number != BASE_NUMBER:
        base = base_outputs(shared, suite, reporter, stopwatch)
    reporter.progress({"state": "scoring"})
    run_dir = Path(shared.run_dir)
    path = trial_dir(run_dir, job.number) / OUTPUTS_FILE
    guard()
    write_outputs(path, suite.parts, suite.requests, outcome.outputs)
    record, draws = record_trial(job, shared.study, suite, outcome, base)
    guard()
    write_draws(run_dir, job.number, draws)
    further = further_points(job, shared.study, outcome)
    scored = []
    for own, found in further:
        guard()
        scored.append(_score_further(own, shared, found, base))
    return record, scored


def _with_des(outcome: Outcome, shared: Shared) -> Outcome:
    if shared.similar is None or not outcome.mix.shares:
        return outcome
    return replace(outcome, notes={**outcome.notes, "des": shared.similar.des(outcome.mix)})


def further_points(job: Job, study: Study, outcome: Outcome) -> list[tuple[Job, Outcome]]:
    """The further points of a training (other alphas, intermediate checkpoints), each as a trial of
    its own that is never a baseline. Each has the training up to its point and the seconds of its
    own evaluation."""
    alphas, shares = study.evaluation.reversion, study.evaluation.intermediate_checkpoints

    def own(place: int, **change: float) -> Job:
        return replace(
            job,
            number=further_number(job.number, place),
            role="search",
            trained_as=job.number,
            recipe=job.recipe.model_copy(update=change),
            of=None if job.of is None else further_number(job.of, place),
        )

    alone = replace(outcome, reverted=(), intermediate=())
    gone = job.recipe.reversion_alpha
    reverted = (
        (own(alphas.index(r.alpha), reversion_alpha=r.alpha), _at_alpha(alone, r, gone))
        for r in outcome.reverted
    )
    early = (
        (own(len(alphas) + shares.index(i.stop_after), stop_after=i.stop_after), _early(alone, i))
        for i in outcome.intermediate
    )
    return [*reverted, *early]


def _at_alpha(outcome: Outcome, reverted: ReversionPoint, gone: float) -> Outcome:
    """The outcome at a further alpha. `gone`: the recipe's own alpha."""
    beside = ("generation", "reversion", "intermediate")
    phases = {name: spent for name, spent in outcome.seconds.items() if name not in beside}
    seconds, training = {**phases, "generation": reverted.seconds}, outcome.training
    if training is not None and gone:
        training = moved_by(training, reverted.alpha / gone)
    if training is not None:
        training = training.model_copy(update={"forward_kl": reverted.forward_kl})
    return replace(outcome, outputs=reverted.outputs, training=training, seconds=seconds)


def _early(outcome: Outcome, found: IntermediatePoint) -> Outcome:
    return replace(
        outcome,
        outputs=found.outputs,
        mix=found.mix,
        training=found.training,
        seconds=found.seconds,
    )


def _score_further(own: Job, shared: Shared, found: Outcome, base: Any) -> TrialRecord:
    """The record of one further point; a failure is recorded, too."""
    import ray

    suite, run_dir = ray.get(shared.suite), Path(shared.run_dir)
    start = time.perf_counter()
    path = trial_dir(run_dir, own.number) / OUTPUTS_FILE
    write_outputs(path, suite.parts, suite.requests, found.outputs)
    try:
        found = _with_des(found, shared)
        record, draws = record_trial(own, shared.study, suite, found, base)
        write_draws(run_dir, own.number, draws)
    except Exception as error:  # the trial itself was measured
        if is_disk_full(error):
            raise
        record = failed_record(own, error, {"total": time.perf_counter() - start}, scoring=True)
    return record


def _rung_evaluator(job: Job, shared: Shared) -> RungEvaluator:
    import ray

    suite = ray.get(shared.suite)
    run_dir = Path(shared.run_dir)
    kept = RungFiles(trial_dir(run_dir, job.number))
    return RungEvaluator(
        job,
        shared.study,
        shared.progress_actor,
        suite,
        lambda: read_base_outputs(run_dir, suite),
        kept,
    )


def execute(job: Job, shared: Shared) -> TrialRecord | None:
    """Run one trial and return its record; None if it was stopped and can be run again. A full disk
    raises and leaves no record: the trial runs again once there is space. Raises ProcessMoved."""
    reporter = Reporter(shared.progress_actor, job.number)
    reporter.progress({"state": "starting", "role": job.role, "recipe": job.recipe.model_dump()})
    folder = trial_dir(Path(shared.run_dir), job.number)
    owner = Owner(folder, "trial")
    owner.take()
    with Stopwatch(folder) as stopwatch:
        found = _run(job, shared, reporter, stopwatch, owner.check)
    if found is None:
        return None
    try:
        owner.check()
    except TakenOver:  # this machine was cut off meanwhile
        return None
    record, reverted = found
    if record.state == "failed":
        record = record.model_copy(update={"extra": {**record.extra, **places_record(folder)}})
    else:
        forget_logs(folder)
    write_family(Path(shared.run_dir), record, reverted)
    delete_scratch(folder)
    shared.progress_actor.remove.remote(job.number)
    return record


def _run(
    job: Job, shared: Shared, reporter: Reporter, stopwatch: Stopwatch, guard: Callable[[], None]
) -> tuple[TrialRecord, list[TrialRecord]] | None:
    """Like `execute`, without writing: the records of the trial and of its further points."""
    rung_evaluator = _rung_evaluator(job, shared)
    attempts: list[Attempt] = [*job.attempts]
    scoring, reverted = False, list[TrialRecord]()
    try:
        with rung_evaluator:
            outcome = train_with_retries(job, shared, reporter, attempts, stopwatch)
        scoring = True
        if outcome.pruned:
            record = pruned_record(job, outcome, rung_evaluator.curve)
        else:
            record, reverted = _score(job, shared, outcome, reporter, stopwatch, guard)
        rung_evaluator.finish()
        seconds = all_seconds(record.seconds, stopwatch, outcome.restored)
        record = record.model_copy(update={"seconds": seconds})
    except ProcessMoved:
        raise
    except Exception as error:  # whatever fails, the sweep goes on and the trial has a record
        if is_disk_full(error):
            raise
        # workers die while a sweep is being stopped
        if isinstance(error, TrialStopped) or (classify(error) in LOST and reporter.stopping()):
            at = reporter.ended_at()
            if at is None:
                return None
            record, reverted = stopped_record(job, at, stopwatch.duration.seconds), []
        else:
            record, reverted = failed_record(job, error, stopwatch.duration.seconds, scoring), []
    record = with_attempts(record.model_copy(update={"rungs": rung_evaluator.curve}), attempts)
    return record, reverted


def all_seconds(
    phases: Mapping[str, float], stopwatch: Stopwatch, restored: float
) -> dict[str, float]:
    """A record's seconds. `restored`: seconds of the phases restored from a checkpoint, which
    earlier attempts ran; the rest of their time is lost."""
    ran, spent = stopwatch.duration, sum(phases.values())
    found = {**phases, **ran.seconds, "total": max(ran.running, spent)}
    lost = stopwatch.failed - restored
    return found | ({"lost": lost} if lost > 0 else {})


def leave_machine(shared: Shared, number: int, reason: str) -> NoReturn:
    """End this process, after the driver can know why: Tune would have it run further trials."""
    import ray

    ray.get(shared.progress_actor.leave.remote(number, reason))
    os._exit(0)


def trainable(config: dict[str, Any], shared: Shared) -> None:
    """Tune's function trainable."""
    from ray import tune

    from mtray.runtime import keep_freed_memory, show_gpus

    keep_freed_memory()
    if shared.metric is not None:
        score_there(shared.metric)
    elif shared.study.evaluation.comet_device == "gpu":
        show_gpus()
    try:
        record = execute(config["job"], shared)
    except ProcessMoved as moved:
        leave_machine(shared, config["job"].number, str(moved))
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
