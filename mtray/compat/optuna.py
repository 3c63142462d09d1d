"""Optuna: the journal's lock and constraints of a trial by its id. Tried with 5.0.0."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOCK_SUFFIX = ".lock"


def lock_of(journal: Path) -> Path:
    """What `JournalFileBackend` locks its file with; it lies there until it is released, also where
    the process that took it was killed.

    Private: the suffix of its name. Without it, Optuna itself takes a lock for abandoned after half
    a minute, which every start after a kill would then wait for."""
    return journal.with_name(f"{journal.name}{LOCK_SUFFIX}")


def set_constraints(study: Any, trial_id: int, over: Mapping[str, float]) -> None:
    """Note on a trial by how much it exceeds each constraint; 0 or less is met.

    Not recommended by Optuna's documentation: to construct a `Trial`, the only thing that has
    `set_constraint`. The trial may have been asked for by another process, so that no other is at
    hand. Without it there is only the name under which Optuna keeps constraints, which is private.
    """
    import optuna

    for name, value in over.items():
        optuna.trial.Trial(study, trial_id).set_constraint(name, value)
