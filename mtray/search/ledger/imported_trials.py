"""Imports trials of earlier runs as complete trials of this one, each once. Record, draws and
outputs are copied under a number of this run, so that everything that reads a run reads them
too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from mtray.files import write_atomically
from mtray.report.bootstrap_draws import read_draws, write_draws
from mtray.report.recomputed_trials import RecomputedTrial
from mtray.run_files import DRAWS_FILE, FURTHER, OUTPUTS_FILE, trial_dir
from mtray.schema import Origin, Recipe, Role, TrialRecord
from mtray.search.ledger.earlier_trials import KNOWN_BY, EarlierTrial, digest
from mtray.search.ledger.initial_trials import Distributions, enqueued_point
from mtray.search.ledger.record_family import write_family
from mtray.search.ledger.run_study import RunStudy
from mtray.search.ledger.trial_attributes import (
    AGAIN,
    IMPORTED,
    OF,
    REPLICATE,
    ROLE,
    SAMPLER_NOTES,
    WHY,
    imported_trials,
)
from mtray.search_space.space import Space

BESIDE = (DRAWS_FILE, OUTPUTS_FILE)  # files of a trial beside its record
CUT_OFF = "interrupted while it was imported from an earlier run"


def import_trials(
    study: RunStudy,
    run_dir: Path,
    space: Space,
    taken: Sequence[EarlierTrial],
    references: Mapping[Role, dict[str, Any]],
    tell: Callable[..., object],
) -> None:
    """Copy the trials that are not in this run yet, and enqueue those that are to be trained again;
    repeatable if an earlier process was killed.

    `references`: this run's baselines; an equal imported trial gets the baseline's role. `tell`
    ends a trial in the journal from its record, or for a reason if there is none.
    """
    for trial in study.trials(TrialState.RUNNING):
        if IMPORTED in trial.user_attrs:
            tell(trial.number, CUT_OFF)
    baselines = {role: space.recipe(params) for role, params in references.items()}
    have = {t.user_attrs[IMPORTED]: t.number for t in imported_trials(study.trials())}
    numbers: dict[tuple[Path, int | None], int] = {}
    _enqueue_again(study, [found for found in taken if found.again])
    for found in taken:
        if found.again:
            continue
        number, of = have.get(found.known_by), numbers.get((found.run_dir, found.record.of))
        if number is None:
            if found.asked is not None:
                raise ValueError(f"trial {found.record.number} was to be measured anew first")
            role = role_here(found, baselines)
            params, notes = _point(found, role, references, space.distributions())
            number = study.add_running(params, notes | imported_attributes(found, role, of))
            copy_trial(found, run_dir, number, role, of)
            tell(number)
        have[found.known_by] = numbers[found.run_dir, found.record.number] = number


def _enqueue_again(study: RunStudy, trials: Sequence[EarlierTrial]) -> None:
    """Enqueue trials of earlier runs as trials of this one, each once."""
    have = {t.user_attrs[AGAIN] for t in study.trials() if AGAIN in t.user_attrs}
    for found in trials:
        if found.known_by not in have:
            why = f"trial {found.record.number} of {found.run_dir.name}"
            notes = {ROLE: "search", SAMPLER_NOTES: {}, AGAIN: found.known_by, WHY: why}
            study.enqueue(found.params, notes)


def _point(
    found: EarlierTrial,
    role: Role,
    references: Mapping[Role, dict[str, Any]],
    distributions: Distributions,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and notes for the journal; a baseline has those that this run's own would have."""
    if role == "search":
        return found.params, {}
    return enqueued_point(role, references[role], distributions)


def role_here(taken: EarlierTrial, baselines: Mapping[Role, Recipe]) -> Role:
    """The imported trial's role: a baseline keeps its role only if this run has the same
    baseline."""
    record = taken.record
    return record.role if baselines.get(record.role) == record.recipe else "search"


def imported_attributes(taken: EarlierTrial, role: Role, of: int | None) -> dict[str, Any]:
    """The journal's notes on an imported trial. `of`: the number, in this run, of the trial that it
    repeats."""
    found: dict[str, Any] = {ROLE: role, IMPORTED: taken.known_by}
    if taken.record.replicate:
        found |= {REPLICATE: taken.record.replicate, OF: of}
    return found


def copy_trial(taken: EarlierTrial, run_dir: Path, number: int, role: Role, of: int | None) -> None:
    """Write a trial and its further points into this run, under its number here."""
    there, record, reverted = taken.run_dir, taken.record, []
    for other in taken.reverted:
        beyond = other.record.number - record.number
        _copy_beside(taken.files, other, run_dir, number + beyond)
        of_other = None if of is None else of + beyond
        reverted.append(_copy(other, there, number + beyond, other.record.role, of_other))
    _copy_beside(taken.files, taken.trial, run_dir, number)
    copy = _copy(taken.trial, there, number, role, of)
    if digest(copy) != taken.known_by:  # its scores differ in this run
        copy = copy.model_copy(update={"extra": {**copy.extra, KNOWN_BY: taken.known_by}})
    write_family(run_dir, copy, reverted)


def _copy_beside(there: Path, trial: RecomputedTrial, here: Path, number_here: int) -> None:
    """Copy the files of a trial beside its record."""
    number = trial.record.number
    for name in BESIDE:
        source = trial_dir(there, number) / name
        if source.is_file():
            write_atomically(trial_dir(here, number_here) / name, source.read_bytes())
    if trial.stale and (kept := read_draws(there, number, None)):
        write_draws(here, number_here, trial.all_draws(kept))


def _copy(
    trial: RecomputedTrial, there: Path, number: int, role: Role, of: int | None
) -> TrialRecord:
    record = trial.record
    changes: dict[str, Any] = {
        "number": number,
        "role": role,
        "of": of,
        "taken_from": Origin(run=str(there), number=record.number),
        # perhaps of other shares or segments; no trial of this run may be compared with them
        "rungs": (),
        "trained_as": None if record.trained_as is None else number % FURTHER,
    }
    return record.model_copy(update=changes)
