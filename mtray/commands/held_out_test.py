"""`test`: the recipes of a run's front on held-out segments that no search saw. Once."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtray.commands.run_argument import run_folder
from mtray.errors import DataError, RunError
from mtray.evaluation.held_out import study_on_test
from mtray.evaluation.output_files import read_outputs, write_outputs
from mtray.files import write_atomically
from mtray.report import held_out_results as report
from mtray.report.bootstrap_draws import write_draws
from mtray.report.export import read_front
from mtray.report.front import Front
from mtray.report.records import read_record, read_records, write_json, write_record
from mtray.retrain import load_suite, mix_notes, recorded_job, recorded_sources, train
from mtray.run_files import BASE_NUMBER, result_path, trial_dir, trial_name
from mtray.schema import Study, TrialRecord, as_written
from mtray.search.ledger.kept_model import kept_outcome, kept_weights
from mtray.search.ledger.run_folder import BoundStudy, locked, read_bound
from mtray.separate_process import in_separate_process
from mtray.trial.record import record_trial

FOLDER, RESULT, TABLE = "test", "test.json", "test.parquet"
OUTPUTS = "outputs.parquet"
BASELINES = ("base", "parallel_only")
# largest difference in final loss between two trainings of one recipe that differ only in rounding
SAME_LOSS = 0.005


def run_test(path: Path) -> int:
    """Measure the recipes of the front, the base model and parallel data only on the test segments,
    from kept weights or trained again with their recorded seeds. Prints the results next to the
    values that the recipes were selected by.

    An existing result is printed, and nothing is measured. An interrupted test is resumed. Raises
    MtrayError when the run has no front or the study no test segments.
    """
    run_dir = run_folder(path)
    bound = read_bound(run_dir)
    front = read_front(run_dir, bound.study, space=bound.space)
    wanted = wanted_trials(front)
    file = run_dir / RESULT
    if file.is_file():
        result = read_result(file)
        print("\n".join([*report.lines(result), *_since(result, wanted, file)]))
        return 0
    with locked(run_dir):
        result = _measure_front(run_dir, bound, front, wanted)
        write_atomically(run_dir / TABLE, report.parquet(result))
        write_json(file, result.model_dump(mode="json"))
    print("\n".join([*report.lines(result), f"json: {file}", f"parquet: {run_dir / TABLE}"]))
    return 0


def wanted_trials(front: Front) -> list[int]:
    """All complete trials behind the points of the front, the recommended recipe and the two
    baselines, the base model first."""
    answered = front.answer.number if front.answer else BASE_NUMBER
    points = [p for p in front.points if p.on_front or p.role in BASELINES or p.number == answered]
    return sorted({number for point in points for number in point.trials} | {BASE_NUMBER})


def read_result(file: Path) -> report.HeldOut:
    try:
        return report.HeldOut.model_validate_json(file.read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(f"{file}: cannot be read: {str(error).splitlines()[0]}") from None


def _since(result: report.HeldOut, wanted: list[int], file: Path) -> list[str]:
    """Notes on an earlier test."""
    known = {touch.trial for touch in result.touched}
    said = ["nothing was measured now"]
    if new := [trial_name(n) for n in wanted if n not in known]:
        said.append(
            f"note: trials {', '.join(new)} have joined the front since then and are not tested. "
            "If you choose a recipe by the test segments, they are no longer held "
            f"out; to test these as well, move {file} "
            "away and run this again: the others are not measured a second time"
        )
    return said


@dataclass(frozen=True)
class _TestSession:
    """State shared by all trials of the test.

    - `folder`: laid out like a run's folder.
    - `study`: with the test segments in place of the dev segments.
    - `sources`: the study by which the trials' sources are built.
    """

    run_dir: Path
    folder: Path
    study: Study
    sources: Study
    suite: Any
    tokenizer: Any


def _measure_front(
    run_dir: Path, bound: BoundStudy, front: Front, wanted: list[int]
) -> report.HeldOut:
    from mtray.evaluation.suite import build_suite, set_lines

    written, sources = as_written(bound.study), as_written(bound.sources_study)
    study = study_on_test(written)
    tokenizer, suite = load_suite(study)
    searched = set(build_suite(written, tokenizer).requests)
    session = _TestSession(run_dir, run_dir / FOLDER, study, sources, suite, tokenizer)
    for place, number in enumerate(wanted, 1):
        if not result_path(session.folder, number).is_file():
            name = trial_name(number)
            print(f"trial {name}, {place} of {len(wanted)}", file=sys.stderr, flush=True)
            in_separate_process(_measure_trial, session, read_record(result_path(run_dir, number)))
    tested = [read_record(result_path(session.folder, number)) for number in wanted]
    recorded = read_records(run_dir).sound()
    names = list(study.objectives)
    weights = {name: spec.weight for name, spec in study.evaluation.abilities.items()}
    found = report.compared(recorded, tested, weights, (run_dir, session.folder))
    dev, test = (
        report.side(folder, records, names)
        for folder, records in ((run_dir, found.dev), (session.folder, found.test))
    )
    trials = {point.number: point.trials for point in front.points}
    repeated = sum(request in searched for request in set(suite.requests))
    return report.HeldOut(
        study=study.name, run=str(run_dir), objectives=tuple(names),
        rows=report.rows(dev, test, front.front, trials, (*names, *found.extra)),
        touched=tuple(
            report.TestMeasurement(trial=r.number, when=r.finished, seconds=r.total_seconds,
                         trained=r.training is not None and "training" in r.seconds)
            for r in tested
        ),
        sets=tuple(line.strip() for line in set_lines(suite)), repeated=repeated,
        abilities=found.abilities,
        notes=(*_notes(recorded, tested, repeated), *_seen(written, sources), *found.notes),
    )  # fmt: skip


def _measure_trial(session: _TestSession, old: TrialRecord) -> None:
    """Generate outputs, from kept weights or after training, and score them. The record is written
    last, so a trial is either tested completely or not at all."""
    job = recorded_job(old)
    base = None
    if job.number != BASE_NUMBER:
        file = trial_dir(session.folder, BASE_NUMBER) / OUTPUTS
        base = read_outputs(file, session.suite.requests)
    started = time.perf_counter()
    if kept := kept_weights(session.run_dir, old):
        outcome = kept_outcome(kept, old, session.study, session.suite.requests)
    else:
        store = recorded_sources(session.sources, old, job, session.tokenizer)
        outcome = train(job, session.study, store, session.suite.requests)
    record, draws = record_trial(job, session.study, session.suite, outcome, base)
    total = {"total": time.perf_counter() - started}
    # a further point of a training shares its seed, even if trained again
    known = {
        "seconds": record.seconds | total,
        "replicate": job.replicate,
        "of": job.of,
        "trained_as": old.trained_as,
    }
    file = trial_dir(session.folder, job.number) / OUTPUTS
    write_outputs(file, session.suite.parts, session.suite.requests, outcome.outputs)
    write_draws(session.folder, job.number, draws)
    write_record(session.folder, record.model_copy(update=known))


def _notes(
    recorded: tuple[TrialRecord, ...], tested: list[TrialRecord], repeated: int
) -> list[str]:
    notes = [
        "dev values of the front are too optimistic, since it was selected by them; test values "
        "are not, as long as nothing is selected by them"
    ]
    if repeated:
        notes.append(f"{repeated} requests of the test are also among those of the search")
    before = {r.number: r for r in recorded}
    notes += _data_notes(before, tested)
    for record in tested:
        earlier = before[record.number]
        if earlier.training is None or record.training is None:
            continue
        was, now = earlier.training.loss[-1][1], record.training.loss[-1][1]
        if abs(now - was) > SAME_LOSS * abs(was):
            notes.append(
                f"trial {record.number}: the training ended at a loss of {was:.4f} in the sweep "
                f"and of {now:.4f} here, so the model that was tested is not quite the same"
            )
    return notes


def _data_notes(before: Mapping[int, TrialRecord], tested: Iterable[TrialRecord]) -> list[str]:
    """Notes on the data of trials that were trained again; a note shared by several is given
    once."""
    trials: dict[str, list[str]] = {}
    for record in tested:
        if "training" in record.seconds:
            for note in mix_notes(before[record.number], record):
                trials.setdefault(note, []).append(trial_name(record.number))
    return [f"trials {', '.join(names)}: {note}" for note, names in trials.items()]


def _seen(study: Study, sources: Study) -> list[str]:
    """Which evaluation texts the models were trained on."""
    from mtray.data.contamination import contaminated_texts, contamination_lines
    from mtray.generated_replay import with_replay

    try:
        return contamination_lines(contaminated_texts(study, with_replay(sources)))
    except DataError as error:  # with kept weights the sources are no longer needed
        return [f"the sources were not checked for evaluation texts: {error}"]
