"""Records of trials on disk. A file is whole or absent: everything is written beside its place and
moved there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtray.errors import RunError
from mtray.files import write_atomically
from mtray.schema import TrialRecord

BASE_NUMBER = -1
RESULT = "result.json"
FURTHER = 1_000_000  # from a trial's number to those of further points of its training


@dataclass(frozen=True)
class Damaged:
    """A result file that is there and cannot be read as a record."""

    path: Path
    reason: str

    def error(self) -> RunError:
        return RunError(
            f"{self.path}: {self.reason}; start the sweep again, which moves the file away and "
            "says what becomes of the trial"
        )


@dataclass(frozen=True)
class RunRecords:
    """All records of a run, by number, and the files that could not be read."""

    records: tuple[TrialRecord, ...]
    damaged: tuple[Damaged, ...] = ()

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """Without the base model's and those of further points of trials."""
        return tuple(r for r in self.records if r.number != BASE_NUMBER and r.trained_as is None)

    def sound(self) -> tuple[TrialRecord, ...]:
        """The records; RunError naming the first damaged file when there is one."""
        if self.damaged:
            raise self.damaged[0].error()
        return self.records


def write_json(path: Path, value: Any) -> Path:
    """Write a value as JSON, atomically. ValueError for NaN and infinity, which JSON does not
    have."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    return write_atomically(path, (text + "\n").encode())


def trial_name(number: int) -> str:
    """What a person calls a trial: its number, or `base` for the base model untouched."""
    return "base" if number == BASE_NUMBER else str(number)


def trials_text(numbers: Sequence[int], most: int = 5) -> str:
    """Such as `trial 7` or `trials base, 0, 1 and 9 more`."""
    shown = ", ".join(map(trial_name, numbers[:most]))
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return f"trial{'s' if len(numbers) > 1 else ''} {shown}{more}"


def further_number(number: int, place: int) -> int:
    """The number of the further point of a trial with this place, from 0, among the study's alphas
    and after these its intermediate checkpoints: beyond all numbers that the search gives."""
    return (place + 1) * FURTHER + number


def trial_dir(run_dir: Path, number: int) -> Path:
    """The folder of one trial: `trials/0007`; of the base model untouched: `trials/base`."""
    if number < BASE_NUMBER:
        raise ValueError(f"a trial's number is {BASE_NUMBER} (base) or more, found {number}")
    return run_dir / "trials" / ("base" if number == BASE_NUMBER else f"{number:04d}")


def result_path(run_dir: Path, number: int) -> Path:
    return trial_dir(run_dir, number) / RESULT


def write_record(run_dir: Path, record: TrialRecord) -> Path:
    """Write a trial's record to its place in the run's folder, atomically."""
    return write_json(result_path(run_dir, record.number), record.model_dump(mode="json"))


def read_record(path: Path) -> TrialRecord:
    """One record. RunError naming the file when it is absent, cut short, of another shape or in
    another trial's folder."""
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
    """Every `trials/*/result.json`. A file that cannot be read does not raise: it comes back in
    `damaged`, so that a status can still be shown; `RunRecords.sound` is for those who need all of
    them. RunError when the folder is not a run's."""
    if not run_dir.is_dir():
        raise RunError(f"{run_dir}: no such run folder")
    records, damaged = [], []
    for path in sorted((run_dir / "trials").glob(f"*/{RESULT}")):
        try:
            records.append(read_record(path))
        except RunError as error:
            damaged.append(Damaged(path, str(error).removeprefix(f"{path}: ")))
    return RunRecords(tuple(sorted(records, key=lambda r: r.number)), tuple(damaged))
