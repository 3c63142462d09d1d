"""Measures trials of earlier runs again, before they are imported: missing answers are generated
with kept weights, and all answers are scored under this run's study, as `mtray.trial.record` does.

What is measured is kept in the run's folder until the trials are imported, so that an interrupted
start does not measure it twice.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtray.errors import MtrayError
from mtray.evaluation.inference.requests import Output, Request
from mtray.evaluation.output_files import write_outputs
from mtray.evaluation.suite import Suite
from mtray.report.bootstrap_draws import write_draws
from mtray.report.recomputed_trials import RecomputedTrial
from mtray.report.records import read_record, write_record
from mtray.run_files import (
    BASE_NUMBER,
    OUTPUTS_FILE,
    result_path,
    trial_dir,
    trial_name,
)
from mtray.runtime import versions
from mtray.schema import Origin, Recipe, Study, TrialRecord
from mtray.search.ledger.base_outputs import read_base_outputs
from mtray.search.ledger.earlier_trials import EarlierTrial
from mtray.search.ledger.kept_model import base_outcome, kept_outcome, kept_weights
from mtray.search.ledger.moved_files import digests
from mtray.search.ledger.new_measurements import family
from mtray.search.ledger.run_folder import read_bound
from mtray.search.ledger.stored_answers import (
    counted_by_part,
    stored_answers,
    suite_of,
    unanswered,
)
from mtray.separate_process import in_separate_process
from mtray.trial.job import Job, Outcome
from mtray.trial.record import record_trial

FOLDER = "imports"  # in the run's folder, until the trials are imported
MEASURED = "measured_anew"  # in `extra` of a record: what was measured under this run's study
Say = Callable[[str], None]


@dataclass(frozen=True)
class ImportSession:
    """State shared by all trials of one earlier run that are measured anew.

    - `run_dir`: of this run.
    - `there`: that of the earlier run.
    - `before`: the study of the earlier run, and `earlier` its evaluation suite; None if that
      cannot be read.
    """

    run_dir: Path
    there: Path
    study: Study
    suite: Suite
    before: Study
    earlier: Suite | None


def measured_imports(
    run_dir: Path, study: Study, suite: Suite, taken: Sequence[EarlierTrial], say: Say
) -> tuple[EarlierTrial, ...]:
    """The trials to import; those that need it are measured again, and with them the base model
    unless the run has it. A trial that cannot be measured, or breaks a constraint, is left out, and
    `say` reports it. Raises MtrayError if the base model cannot be measured."""
    wanted = [trial for trial in taken if trial.asked is not None and not trial.again]
    if not wanted:
        return tuple(taken)
    folder = run_dir / FOLDER / _key(study)
    todo = [trial for trial in wanted if not result_path(*_place(folder, trial)).is_file()]
    failed = in_separate_process(_measure_all, run_dir, study, suite, todo, folder) if todo else {}
    found: list[EarlierTrial] = []
    for trial in taken:
        if trial.asked is None or trial.again:
            found.append(trial)
            continue
        read = None if trial.known_by in failed else _read(folder, trial)
        if read is None:
            say(f"not imported: trial {trial.record.number} of {trial.run_dir}: "
                f"{failed.get(trial.known_by, 'it was not measured')}")  # fmt: skip
        elif read.record.state != "complete":
            why = f"{read.record.state}, {read.record.reason}"
            say(f"not imported: trial {trial.record.number} of {trial.run_dir}: {why}")
        else:
            found.append(read)
    return tuple(found)


def forget_measured(run_dir: Path) -> None:
    """Delete what was measured, once the trials are imported."""
    shutil.rmtree(run_dir / FOLDER, ignore_errors=True)


def _key(study: Study) -> str:
    """A name that changes with everything the measured values depend on: the study, and the
    content of the files that its evaluation names."""
    found = study.model_dump(mode="json")
    text = json.dumps([found, digests(found["evaluation"])], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _place(folder: Path, trial: EarlierTrial) -> tuple[Path, int]:
    """The folder, laid out like a run's, and the number under which a trial is measured."""
    return folder / trial.known_by[:16], trial.record.number


def _read(folder: Path, trial: EarlierTrial) -> EarlierTrial | None:
    place, number = _place(folder, trial)
    if not result_path(place, number).is_file():
        return None
    others = (
        RecomputedTrial(read_record(file)) if file.is_file() else other
        for other in trial.reverted
        for file in [result_path(place, other.record.number)]
    )
    record = read_record(result_path(place, number))
    return replace(
        trial, trial=RecomputedTrial(record), reverted=tuple(others), asked=None, measured_in=place
    )


def _measure_all(
    run_dir: Path, study: Study, suite: Suite, trials: Sequence[EarlierTrial], folder: Path
) -> dict[str, str]:
    """Measure trials; returns the reasons of those that could not be, by `known_by`."""
    from mtray.training.models import load_tokenizer

    tokenizer = load_tokenizer(study.model, study.trust_remote_code)
    failed, sessions = dict[str, str](), dict[Path, ImportSession]()
    for place, trial in enumerate(trials, 1):
        there = trial.run_dir
        if there not in sessions:
            before = read_bound(there).study
            earlier, _ = suite_of(before, tokenizer)
            sessions[there] = ImportSession(run_dir, there, study, suite, before, earlier)
        base = base_outputs(sessions[there])
        print(f"trial {trial.record.number} of {there.name}, {place} of {len(trials)}",
              file=sys.stderr, flush=True)  # fmt: skip
        try:
            _measure(sessions[there], trial, base, _place(folder, trial)[0])
        except MtrayError as error:
            failed[trial.known_by] = str(error)
    return failed


def _measure(
    session: ImportSession, trial: EarlierTrial, base: Sequence[Output], place: Path
) -> None:
    """Measure a trial and its further points. Its own record is written last: it says that all of
    them are measured."""
    for record in reversed(family(trial)):
        outcome, notes = _outcome(session, record)
        new = _recorded(session, record, outcome, base, place)
        extra = {**record.extra, **new.extra, MEASURED: notes}
        kept = {
            "seconds": record.seconds,
            "versions": record.versions,
            "finished": record.finished,
            "extra": extra,
        }
        write_record(place, new.model_copy(update=kept))


def base_outputs(session: ImportSession) -> list[Output]:
    """The base model's answers under this study: the run's own if it has them, else the earlier
    run's; missing ones are generated now. Then they are recorded as the run's base model."""
    found = read_base_outputs(session.run_dir, session.suite)
    if found is not None:
        return found
    record = TrialRecord(
        number=BASE_NUMBER, role="base", state="complete", recipe=Recipe(parallel_size=0),
        seed=session.study.seed,
    )  # fmt: skip
    started = time.perf_counter()
    outcome, notes = _outcome(session, record)
    if not result_path(session.run_dir, BASE_NUMBER).is_file():
        new = _recorded(session, record, outcome, None, session.run_dir)
        changes = {
            "taken_from": Origin(run=str(session.there), number=BASE_NUMBER),
            "seconds": {**new.seconds, "total": time.perf_counter() - started},
            "extra": {**new.extra, MEASURED: notes},
        }
        write_record(session.run_dir, new.model_copy(update=changes))
    return outcome.outputs


def _outcome(session: ImportSession, record: TrialRecord) -> tuple[Outcome, dict[str, Any]]:
    """The answers to all requests of this study, stored or generated now, and what was
    generated."""
    suite = session.suite
    file = trial_dir(session.there, record.number) / OUTPUTS_FILE
    answers = stored_answers(file, session.earlier)
    missing = unanswered(suite, answers)
    outcome = Outcome([], record.mix, record.training, {}, versions())
    if missing:
        outcome = _asked(session, record, missing)
        answers |= zip(missing, outcome.outputs, strict=True)
    notes = {"asked": counted_by_part(suite, missing), "seconds": outcome.seconds}
    outputs = [answers[request] for request in suite.requests]
    return replace(outcome, outputs=outputs), {**notes, "versions": outcome.versions}


def _asked(session: ImportSession, record: TrialRecord, missing: Sequence[Request]) -> Outcome:
    if record.number == BASE_NUMBER:
        return base_outcome(session.study, missing)
    weights = kept_weights(session.there, record)
    if weights is None:
        raise MtrayError(f"the weights of trial {trial_name(record.number)} are no longer kept")
    return kept_outcome(weights, record, session.study, missing)


def _recorded(
    session: ImportSession,
    record: TrialRecord,
    outcome: Outcome,
    base: Sequence[Output] | None,
    place: Path,
) -> TrialRecord:
    """The record of these answers; writes answers and draws beside it. The costs of the training
    are those that it had, on the machine that it ran on."""
    job = Job(
        record.number, record.role, record.recipe, record.seed, record.replicate, record.of,
        trained_as=record.trained_as,
    )  # fmt: skip
    trained = outcome if base is None else replace(outcome, seconds=record.seconds)
    resources = session.study if base is None else session.before
    study = session.study.model_copy(update={"resources": resources.resources})
    suite = session.suite
    found, draws = record_trial(job, study, suite, trained, base)
    file = trial_dir(place, record.number) / OUTPUTS_FILE
    write_outputs(file, suite.parts, suite.requests, outcome.outputs)
    write_draws(place, record.number, draws)
    return found
