"""Optuna: the journal's lock, and constraints of a trial by its id. Tested with 5.0.0, and with
optuna-dashboard 0.21.0."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOCK_SUFFIX = ".lock"
UNNAMED = "constraints"


def lock_of(journal: Path) -> Path:
    """The lock file of `JournalFileBackend`; it exists until it is released, also if the process
    that created it was killed.

    Private: the suffix of its name. Without it, Optuna itself considers a lock abandoned after half
    a minute, which every start after a kill would wait for.
    """
    return journal.with_name(f"{journal.name}{LOCK_SUFFIX}")


def set_constraints(
    study: Any, trial_id: int, over: Mapping[str, float], for_dashboard: bool = False
) -> None:
    """Store the amount by which a trial exceeds each constraint; 0 or less is feasible.

    Constructs a `Trial`, which Optuna's documentation advises against but is the only class with
    `set_constraint`. The trial may have been created by another process, so that no `Trial` object
    exists here. Without it only the private name under which Optuna stores constraints remains.

    Private: `UNNAMED`, where Optuna up to 4 kept the values as a list, written `for_dashboard`: it
    reads only that list, and counts every trial as feasible without it. Optuna reads both, so a
    trial has every constraint there twice, by its name and by its place.
    """
    import optuna

    if not over:
        return
    trial = optuna.trial.Trial(study, trial_id)
    for name, value in over.items():
        trial.set_constraint(name, value)
    if for_dashboard:
        trial.storage.set_trial_system_attr(trial_id, UNNAMED, list(over.values()))
