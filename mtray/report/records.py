"""Records of trials on disk. Every file is written atomically: to a temporary file that then
replaces it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtray.errors import RunError
from mtray.files import write_atomically
from mtray.run_files import BASE_NUMBER, RESULT, result_path, trial_dir
from mtray.schema import TrialRecord


@dataclass(frozen=True)
class DamagedFile:
    """A result file that exists but cannot be read as a record."""

    path: Path
    reason: str

    def error(self) -> RunError:
        return RunError(
            f"{self.path}: {self.reason}; start the sweep again, which moves the file away and "
            "says what happens to the trial"
        )


@dataclass(frozen=True)
class RunRecords:
    """All records of a run, by number, and the files that could not be read."""

    records: tuple[TrialRecord, ...]
    damaged: tuple[DamagedFile, ...] = ()

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """The records without the base model's and those of further points."""
        return tuple(r for r in self.records if r.number != BASE_NUMBER and r.trained_as is None)

    def sound(self) -> tuple[TrialRecord, ...]:
        """The records; raises RunError naming the first damaged file if there is one."""
        if self.damaged:
            raise self.damaged[0].error()
        return self.records


def write_json(path: Path, value: Any) -> Path:
    """Write a value as JSON, atomically. Raises ValueError for NaN and infinity, which JSON does
    not have."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    return write_atomically(path, (text + "\n").encode())


def write_record(run_dir: Path, record: TrialRecord) -> Path:
    """Write a trial's record to its place in the run's folder, atomically."""
    return write_json(result_path(run_dir, record.number), record.model_dump(mode="json"))


def read_record(path: Path) -> TrialRecord:
    """One record. Raises RunError naming the file if it is missing, truncated, of another structure
    or in another trial's folder."""
    try:
        record = TrialRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise RunError(f"{path}: {where}: {first['msg']}") from error
    expected = trial_dir(path.parent.parent.parent, record.number).name
    if path.parent.name != expected:
        raise RunError(f"{path}: holds trial {record.number}, whose folder is {expected}")
    return record


def read_records(run_dir: Path) -> RunRecords:
    """Every `trials/*/result.json`. A file that cannot be read does not raise but is returned in
    `damaged`, so that a status can still be shown; `RunRecords.sound` is for callers that need all
    records. Raises RunError if the folder is not a run's."""
    if not run_dir.is_dir():
        raise RunError(f"{run_dir}: no such run folder")
    records, damaged = [], []
    for path in sorted((run_dir / "trials").glob(f"*/{RESULT}")):
        try:
            records.append(read_record(path))
        except RunError as error:
            damaged.append(DamagedFile(path, str(error).removeprefix(f"{path}: ")))
    return RunRecords(tuple(sorted(records, key=lambda r: r.number)), tuple(damaged))
