"""What a trial keeps in its folder until it ends, so that it goes on where it was: its checkpoint,
what was asked and measured at its rungs, and the time it took."""

from __future__ import annotations

import shutil
from pathlib import Path

from mtray.run_files import RESULT
from mtray.search.early_stopping.rung_files import RUNGS
from mtray.search.ledger.stopwatch import forget_time
from mtray.training.checkpoints import forget, kept_step


def resume_text(folder: Path) -> str:
    """Where a trial goes on after it was lost, in words."""
    step = kept_step(folder)
    return f"again from its checkpoint after step {step}" if step else "again from the first step"


def delete_scratch(folder: Path) -> None:
    """Remove what a trial kept until its end."""
    forget(folder)
    forget_time(folder)
    shutil.rmtree(folder / RUNGS, ignore_errors=True)


def delete_finished_scratch(run_dir: Path) -> None:
    """Of all trials that have a record: a process may have died between that and the removal."""
    for file in (run_dir / "trials").glob(f"*/{RESULT}"):
        delete_scratch(file.parent)
