"""Files in a trial's folder that let it resume until it ends: its checkpoint, the questions and
measurements of its rungs, the time it used, and which processes write them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from mtray.run_files import RESULT
from mtray.schema import ReasonClass
from mtray.search.early_stopping.rung_files import RUNGS
from mtray.search.ledger.stopwatch import forget_time, since_attempts
from mtray.search.ledger.trial_failures import Attempt, attempt, may_run_again
from mtray.search.ledger.trial_owner import forget_owners
from mtray.training.checkpoints import forget, kept_step


def resume_text(folder: Path) -> str:
    """Where a lost trial resumes, in words."""
    step = kept_step(folder)
    return f"again from its checkpoint after step {step}" if step else "again from the first step"


def last_step(folder: Path) -> int:
    """The step that a trial's checkpoint is of; 0 without one."""
    return kept_step(folder) or 0


def lost_attempt(
    folder: Path, reason_class: ReasonClass, reason: str, attempts: Sequence[Attempt]
) -> Attempt | None:
    """The attempt of a trial whose own process was lost; None if it may not run again."""
    step = last_step(folder)
    if not may_run_again(reason_class, attempts, step):
        return None
    seconds = since_attempts(folder, attempts)
    return attempt(reason_class, reason, resume_text(folder), seconds, step)


def delete_scratch(folder: Path) -> None:
    """Delete a trial's scratch files."""
    forget(folder)
    forget_time(folder)
    forget_owners(folder)
    shutil.rmtree(folder / RUNGS, ignore_errors=True)


def delete_finished_scratch(run_dir: Path) -> None:
    """Delete the scratch files of all trials with a record: a process may have died before it did
    so."""
    for file in (run_dir / "trials").glob(f"*/{RESULT}"):
        delete_scratch(file.parent)
