"""A trial's record and those of the further points of its training (its model at other alphas, or
after a part of the steps). The trial's own record is written first, so that no further point exists
without its trial.

Records still to be written are stored in the trial's folder (`PENDING`). If a process dies in
between, the next one writes them. A trial that left no record runs again, and its pending records
are deleted.
"""

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
    """File of the further points that wait for the trial's record."""
    return trial_dir(run_dir, number) / PENDING


def write_family(run_dir: Path, record: TrialRecord, reverted: Sequence[TrialRecord]) -> None:
    """Write all records of a trial, its own first."""
    if reverted:
        found = [other.model_dump(mode="json") for other in reverted]
        write_json(pending(run_dir, record.number), found)
    write_record(run_dir, record)
    complete_family(run_dir, record.number)


def complete_family(run_dir: Path, number: int) -> None:
    """Write the pending records if the trial has a record, delete them if it has none. Raises
    RunError if they cannot be read."""
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
