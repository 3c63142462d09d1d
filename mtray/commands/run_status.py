"""`status --json`: the state of a run as one value."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from mtray.commands.status import LOST, ReadRun, best_record, read_run, without_record
from mtray.mirror.state import mirror_lines
from mtray.report.abilities import ability_sentences, ability_sets
from mtray.report.omissions import omissions
from mtray.report.printing import print_json
from mtray.report.records import RunRecords
from mtray.run_files import BASE_NUMBER
from mtray.schema import Frozen, Role, Study, TrialRecord, record
from mtray.search.ledger.journal_overview import Entry
from mtray.search.ledger.live_progress import RunningTrial, read_progress

State = record.State | Literal["started", "waiting"]  # the latter two have no record yet
STATES = (*get_args(record.State), "started", "waiting")


class TrialStatus(Frozen):
    """One trial.

    - `state`: `started`: dispatched, so it is running, or was interrupted if no sweep is running;
      `waiting`: not dispatched yet.
    - `reason`: why it did not complete; else empty.
    - `imported`: whether it was imported from an earlier run.
    """

    number: int
    role: Role
    state: State
    reason: str = ""
    imported: bool = False


class BestScore(Frozen):
    """The best value of an objective among complete trials.

    - `trial`: its number; -1 is the base model.
    """

    trial: int
    value: float
    low: float
    high: float


class RunStatus(Frozen):
    """What `status --json` prints.

    - `run`: the folder as given; `study`, `model`: null where the run's study cannot be read.
    - `running`: whether a sweep is running.
    - `process`: the sweep's process; null: none is running.
    - `planned`: trials of the budget, without the base model and those that settle the answer.
    - `base`: whether the base model has been measured.
    - `counts`: number of trials in each state, 0 included.
    - `trials`: every trial, by number.
    - `running_trials`: progress of each, as last written by the sweep.
    - `seconds_left`: estimated; null: not known, or no sweep is running.
    - `best`: the best value so far, by objective.
    - `mirror`: how far the run's copy (`--mirror`) is, in words; null: it has none.
    - `notes`: on the abilities in retention, and on what was left out.
    - `problems`: damaged files and other reasons for exit code 1; empty: exit code 0.
    """

    run: str
    study: str | None
    model: str | None
    running: bool
    process: str | None
    planned: int | None
    base: Literal["measured", "failed", "missing"]
    counts: dict[State, int]
    trials: tuple[TrialStatus, ...]
    running_trials: tuple[RunningTrial, ...]
    seconds_left: float | None
    best: dict[str, BestScore]
    mirror: str | None
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def trial_states(records: RunRecords, entries: Sequence[Entry]) -> tuple[TrialStatus, ...]:
    """Every trial by number, the base model and further points of trained models left out."""
    found = [
        TrialStatus(
            number=r.number, role=r.role, state=r.state, reason=r.reason or "",
            imported=r.taken_from is not None,
        )
        for r in records.trials
    ]  # fmt: skip
    for entry in without_record(records, entries):
        lost = entry.stage in LOST
        state: State = "failed" if lost else entry.stage  # type: ignore[assignment]
        reason = entry.reason or ("no record" if lost else "")
        found.append(TrialStatus(number=entry.number, role=entry.role, state=state, reason=reason))
    return tuple(sorted(found, key=lambda trial: trial.number))


def counted_states(trials: Sequence[TrialStatus]) -> dict[State, int]:
    found = Counter(trial.state for trial in trials)
    return {state: found[state] for state in STATES}


def print_status_json(path: Path) -> int:
    """1 when something is wrong with the run, as of `status`. RunError when it is not a run."""
    found = read_run(path)
    print_json(run_status(path, found))
    return 1 if found.wrong else 0


def run_status(path: Path, found: ReadRun) -> RunStatus:
    records, study = found.records, found.study
    base = next((r for r in records.records if r.number == BASE_NUMBER), None)
    live = read_progress(found.folder, time.time()) if found.holder else None
    trials = trial_states(records, found.overview.trials)
    sets = ability_sets(r for r in records.records if r.scores)
    return RunStatus(
        run=str(path),
        study=study.name if study else None,
        model=study.model if study else None,
        running=found.holder is not None,
        process=found.holder,
        planned=study.budget.trials if study else None,
        base="missing" if base is None else "measured" if base.state == "complete" else "failed",
        counts=counted_states(trials),
        trials=trials,
        running_trials=live.trials if live else (),
        seconds_left=live.seconds_left if live else None,
        best=_best(records.records, study) if study else {},
        mirror=next(iter(mirror_lines(found.folder)), None),
        notes=(*ability_sentences(sets), *omissions(records.records)),
        problems=tuple(found.wrong),
    )


def _best(records: Sequence[TrialRecord], study: Study) -> dict[str, BestScore]:
    found = {}
    for name, sense in study.objectives.items():
        if best := best_record(records, name, sense):
            score = best.objectives[name]
            found[name] = BestScore(
                trial=best.number, value=score.value, low=score.low, high=score.high
            )
    return found
