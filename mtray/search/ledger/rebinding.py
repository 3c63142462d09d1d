"""Continues a run under a changed study: recomputes the objectives in its records from stored
scores and draws, and fills a new Optuna study in the same journal with them.

The order is safe against a crash at any point. The target is written first (`PENDING` in the run's
study file, which makes all readers refuse the run). Every step is idempotent. The study file is
written last and replaces the study, the name of its Optuna study and the history in one step.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mtray.errors import RunError
from mtray.files import write_atomically
from mtray.report.bootstrap_draws import draws_of, read_draws, write_draws
from mtray.report.recomputed_trials import RecomputedRun, recompute_run
from mtray.report.records import read_records, write_json, write_record
from mtray.run_files import DRAWS_FILE, JOURNAL, RESULT, STUDY_FILE, trial_dir
from mtray.schema import Study, TrialRecord
from mtray.search.ledger.record_files import RecordFiles
from mtray.search.ledger.run_folder import (
    AT_BINDING,
    BINDINGS,
    OPTUNA,
    PENDING,
    check_names,
    parsed_study,
    read_bound,
)
from mtray.search.ledger.run_study import RunStudy, optuna_name
from mtray.search.ledger.study_changes import (
    Need,
    StudyChange,
    change_lines,
    content,
    study_changes,
)
from mtray.search.ledger.trial_attributes import COST, EXPECTED, OVER, RUNGS
from mtray.search.strategy.cost_aware import Observation
from mtray.search_space.space import Space

# notes that depend on a trial's values
OF_VALUES = (COST, OVER, EXPECTED, RUNGS)
AS_MEASURED = {RESULT: "as_measured.json", DRAWS_FILE: "as_measured.parquet"}
GONE = "its record is gone, so it has no values under the changed study"


def recomputed(run_dir: Path, study: Study, space: Space) -> tuple[StudyChange, ...]:
    """The changes that require recomputing the run's records when it continues with this study;
    empty for a new run or if nothing is to be recomputed. For studies that `check_bound` accepts.
    Raises RunError if the stored scores and draws do not suffice."""
    found = _read(run_dir)
    if found is None:
        return ()
    old, old_space = parsed_study(found.get(PENDING, found))
    changes = study_changes(content(old, old_space), content(study, space))
    needed = tuple(c for c in changes if c.needs == Need.RECOMPUTE)
    if needed and PENDING not in found:  # else records belong to two studies for now
        try:
            _restated(run_dir, old, study)
        except RunError as error:
            raise RunError(
                f"run {run_dir.name!r} cannot continue with{change_lines(changes)}\n{error}; "
                "restore the old values, or give the same command another --name"
            ) from None
    return needed


def rebind(run_dir: Path, study: Study, space: Space) -> None:
    """Finish an interrupted rebinding, and rebind the run to this study if its records must be
    recomputed. Call while holding the run's lock. Raises RunError as `recomputed` and, once an
    interrupted one is finished, as `check_names`."""
    found = _read(run_dir)
    if found is not None and PENDING in found:
        _finish(run_dir, found)
        check_names(run_dir)
    if not recomputed(run_dir, study, space):
        return
    found = _read(run_dir) or {}
    # an earlier version stored only the evaluation of the last start
    first = found.get(AT_BINDING, found["study"]["evaluation"])
    name = f"{study.name}.{len(found.get(BINDINGS, ())) + 2}"
    target = {**content(study, space), OPTUNA: name}
    found = {**found, AT_BINDING: first, PENDING: target}
    write_json(run_dir / STUDY_FILE, found)
    _finish(run_dir, found)


def _read(run_dir: Path) -> dict[str, Any] | None:
    """The study file; None if there is none. Raises RunError if it is damaged."""
    if not (run_dir / STUDY_FILE).is_file():
        return None
    read_bound(run_dir, finished=False)
    found: dict[str, Any] = json.loads((run_dir / STUDY_FILE).read_text(encoding="utf-8"))
    return found


def _restated(run_dir: Path, old: Study, new: Study) -> RecomputedRun:
    return recompute_run(read_records(run_dir).records, old, new, draws_of(run_dir))


def _finish(run_dir: Path, found: dict[str, Any]) -> None:
    target = found[PENDING]
    (old, old_space), (new, new_space) = parsed_study(found), parsed_study(target)
    RecordFiles(run_dir).complete_families()
    run = _restated(run_dir, old, new)
    for trial in run.trials:
        number = trial.record.number
        _keep_as_measured(trial_dir(run_dir, number))
        if trial.stale and (kept := read_draws(run_dir, number, None)):
            write_draws(run_dir, number, trial.all_draws(kept))
        write_record(run_dir, trial.record)
    if (run_dir / JOURNAL).is_file():
        before = RunStudy(run_dir, old, old_space.distributions(), optuna_name(run_dir, old))
        RunStudy.forget(run_dir, target[OPTUNA])  # left by an interrupted attempt
        after = RunStudy(run_dir, new, new_space.distributions(), target[OPTUNA])
        tell_again(before, after, new, {r.number: r for r in run.records})
    until = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    last = {"until": until, "study": found["study"], "space": found["space"]}
    kept_keys = {k: v for k, v in found.items() if k != PENDING}
    history = [*found.get(BINDINGS, ()), last]
    write_json(run_dir / STUDY_FILE, {**kept_keys, **target, BINDINGS: history})


def _keep_as_measured(folder: Path) -> None:
    """Copy the trial's original files, once: an ability that is dropped disappears from its
    record."""
    for name, copy in AS_MEASURED.items():
        if (folder / name).is_file() and not (folder / copy).is_file():
            write_atomically(folder / copy, (folder / name).read_bytes())


def tell_again(
    before: RunStudy, after: RunStudy, study: Study, records: Mapping[int, TrialRecord]
) -> None:
    """Add every trial under its number to another Optuna study, with the values of its record."""
    for trial in before.trials():
        after.copy(_without_values(trial))
        here = after.trial(trial.number)
        record = records.get(trial.number)
        if trial.state == TrialState.COMPLETE and record is not None and record.objectives:
            values = [record.objectives[name].value for name in study.objectives]
            observation = Observation(values, trial.user_attrs.get(COST), record.constraints)
            after.tell_measured(here, observation)
        elif trial.state == TrialState.COMPLETE:
            after.tell_without_values(here, TrialState.FAIL, {"reason": GONE})
        elif trial.state.is_finished():
            after.tell_without_values(here, trial.state, {})


def _without_values(trial: FrozenTrial) -> FrozenTrial:
    """The trial without values: waiting if it waits, else running. The sampler's notes are kept."""
    waits = trial.state == TrialState.WAITING
    notes = {name: value for name, value in trial.user_attrs.items() if name not in OF_VALUES}
    return FrozenTrial(
        number=-1, trial_id=-1, state=TrialState.WAITING if waits else TrialState.RUNNING,
        value=None, params=dict(trial.params), distributions=dict(trial.distributions),
        user_attrs=notes,
        system_attrs={} if trial.state.is_finished() else dict(trial.system_attrs),
        intermediate_values={}, datetime_complete=None,
        datetime_start=None if waits else trial.datetime_start or datetime.now(),
    )  # fmt: skip
