"""A run folder as what the page shows, as plain data. Nothing here writes, or waits for a lock that
a sweep may want."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtray.commands.predict import evidence_of
from mtray.commands.status import ending_lines, without_record, wrong_lines
from mtray.control_requests import answers
from mtray.mirror.state import mirror_problems
from mtray.report.bootstrap_draws import StoredDraws
from mtray.report.effects import effects
from mtray.report.front_builder import build_front
from mtray.report.laws import laws
from mtray.report.page_front import page_front, rounded
from mtray.report.page_trials import trial_row, trials_table
from mtray.report.records import RunRecords
from mtray.report.static_page import explained
from mtray.report.surface import modelled
from mtray.run_files import trial_name
from mtray.schema import Study
from mtray.search.ledger.journal_overview import Entry, Overview
from mtray.search.ledger.live_progress import LiveProgress, RunningTrial, read_progress
from mtray.search_space.space import Space

ASKED = 100  # requests to the sweep that are shown, the last ones


def state_data(
    run_dir: Path, study: Study, records: RunRecords, overview: Overview, now: float
) -> dict[str, Any]:
    """What the run is, and what it does at `now`, in seconds of the epoch. `sweep`: None where none
    is known to run."""
    progress = read_progress(run_dir, now)
    damage = [f"{d.path}: {d.reason}" for d in records.damaged]
    damage += [overview.damage] if overview.damage else []
    warnings = [f"damaged: {text}" for text in damage]
    warnings += wrong_lines(records, overview.trials) + mirror_problems(run_dir)
    return {
        "run": run_dir.name, "study": study.name, "model": study.model,
        "planned": study.budget.trials, "warnings": warnings,
        "lines": ending_lines(overview.trials, study.budget, run_dir),
        "asked": [answer.line() for answer in answers(run_dir)[-ASKED:]],
        "sweep": None if progress is None else _sweep(progress, now),
    }  # fmt: skip


def _sweep(progress: LiveProgress, now: float) -> dict[str, Any]:
    return {
        "paused": progress.paused, "until": progress.until,
        "age": max(0.0, round(now - progress.written, 1)),
        "finished": progress.finished, "total": progress.total,
        "seconds_left": progress.seconds_left,
        "trials": [running_trial(trial, now) for trial in progress.trials],
    }  # fmt: skip


def running_trial(trial: RunningTrial, now: float) -> dict[str, Any]:
    """A trial that runs, with seconds in its phase, and those left of it (`phase_left`)."""
    spent = None if trial.since is None else max(0.0, now - trial.since)
    left = None
    if spent is not None and trial.step and trial.steps:
        left = spent * max(0, trial.steps - trial.step) / trial.step
    found = trial.model_dump(mode="json", exclude={"since"})
    shown: dict[str, Any] = rounded(
        {**found, "name": trial_name(trial.number), "spent": spent, "phase_left": left}
    )
    return shown


def table_data(
    study: Study, records: RunRecords, overview: Overview, kept: dict[int, tuple[Any, Any]]
) -> dict[str, Any]:
    """A row for every trial of the records and the journal. `kept`: rows of earlier calls, by
    number, each with the record that it was made from."""
    rows = []
    for record in records.records:
        known = kept.get(record.number)
        if known is None or known[0] is not record:
            known = kept[record.number] = (record, trial_row(record))
        rows.append(known[1])
    rows += [_entry_row(entry) for entry in without_record(records, overview.trials)]
    return trials_table(rows, list(study.objectives))


def _entry_row(entry: Entry) -> dict[str, Any]:
    """A trial that has no record: it waits, runs, or ended without one."""
    states = {"started": "running", "finished": "failed"}
    return {
        "number": entry.number, "role": entry.role, "of": None, "trained_as": None, "seed": None,
        "state": states.get(entry.stage, entry.stage), "recipe": {}, "scores": {}, "seconds": {},
        "reason": entry.reason or entry.why, "total_seconds": None, "finished": "",
        "examples": None, "steps": None, "tokens_per_second": None, "loss": [],
    }  # fmt: skip


def front_data(
    run_dir: Path, study: Study, space: Space, records: RunRecords, draws: StoredDraws
) -> dict[str, Any] | None:
    """The front with its answer; None before a trial is complete. RunError if a record lacks
    what the study asks for. `draws`: of earlier calls, of which only new files are read."""
    if all(record.state != "complete" for record in records.records):
        return None
    draws.look_again()
    return page_front(build_front(records.records, study, run_dir, draws, space=space))


def effects_data(run_dir: Path, study: Study, space: Space) -> dict[str, Any]:
    """Curves of parameters, and laws: those that `explain` has written, or new ones. RunError with
    too few trials."""
    if (known := explained(run_dir)) is not None:
        return known
    evidence = evidence_of(run_dir, study)
    found = effects(modelled(evidence, space), space)
    by_laws = laws(evidence, study, space)
    shown: dict[str, Any] = rounded(
        {
            "effects": [measure.model_dump(mode="json") for measure in found],
            "laws": by_laws.model_dump(mode="json"),
        }
    )
    return shown
