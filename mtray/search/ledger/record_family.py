"""A trial's record and those of further points of its training (its model at other alphas, or after
a part of the steps), which belong together: the trial's is written first, so that no row is there
without the trial that it comes from.

What is still to be written waits in the trial's folder (`PENDING`), and is written there by whoever
comes next where a process died in between. A trial that left no record runs again, and with it
goes what waits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mtray.errors import RunError
from mtray.report.records import write_json, write_record
from mtray.run_files import result_path, trial_dir
from mtray.schema import TrialRecord

PENDING = "reverted.json"


def pending(run_dir: Path, number: int) -> Path:
    """Where the further points of a trial wait for the trial's record."""
    return trial_dir(run_dir, number) / PENDING


def write_family(run_dir: Path, record: TrialRecord, reverted: Sequence[TrialRecord]) -> None:
    """Write all records of a trial, its own first."""
    if reverted:
        found = [other.model_dump(mode="json") for other in reverted]
        write_json(pending(run_dir, record.number), found)
    write_record(run_dir, record)
    complete_family(run_dir, record.number)


def complete_family(run_dir: Path, number: int) -> None:
    """Write what waits where the trial has a record, and forget it where it has none. RunError when
    it cannot be read."""
    file = pending(run_dir, number)
    if not file.is_file():
        return
    if result_path(run_dir, number).is_file():
        try:
            found = [TrialRecord.model_validate(r) for r in json.loads(file.read_bytes())]
        except (ValueError, TypeError) as error:  # pydantic's error is a ValueError
            raise RunError(f"{file}: {str(error).splitlines()[0]}") from None
        for record in found:
            write_record(run_dir, record)
    file.unlink()
