"""Files in a trial's folder that let it resume until it ends: its checkpoint, the questions and
measurements of its rungs, and the time it used."""

from __future__ import annotations

import shutil
from pathlib import Path

from mtray.run_files import RESULT
from mtray.search.early_stopping.rung_files import RUNGS
from mtray.search.ledger.stopwatch import forget_time
from mtray.training.checkpoints import forget, kept_step


def resume_text(folder: Path) -> str:
    """Where a lost trial resumes, in words."""
    step = kept_step(folder)
    return f"again from its checkpoint after step {step}" if step else "again from the first step"


def delete_scratch(folder: Path) -> None:
    """Delete a trial's scratch files."""
    forget(folder)
    forget_time(folder)
    shutil.rmtree(folder / RUNGS, ignore_errors=True)


def delete_finished_scratch(run_dir: Path) -> None:
    """Delete the scratch files of all trials with a record: a process may have died before it did
    so."""
    for file in (run_dir / "trials").glob(f"*/{RESULT}"):
        delete_scratch(file.parent)
