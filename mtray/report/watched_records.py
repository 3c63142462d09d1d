"""The records of a run that is looked at again and again: a file is read again only when it has
changed."""

from __future__ import annotations

from pathlib import Path

from mtray.errors import RunError
from mtray.report.records import DamagedFile, RunRecords, read_record
from mtray.run_files import RESULT
from mtray.schema import TrialRecord

Stamp = tuple[int, int]


def stamp(path: Path) -> Stamp | None:
    """Changes whenever a file is replaced or appended to; None without one."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


class WatchedRecords:
    """The records of a run; a file is read again only when it has changed."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._read: dict[Path, tuple[Stamp, TrialRecord | DamagedFile]] = {}

    def look(self) -> RunRecords:
        found: dict[Path, tuple[Stamp, TrialRecord | DamagedFile]] = {}
        for path in sorted((self._run_dir / "trials").glob(f"*/{RESULT}")):
            now, known = stamp(path), self._read.get(path)
            if now is not None:
                found[path] = known if known and known[0] == now else (now, _read(path))
        self._read = found
        parts = [part for _, part in found.values()]
        records = [part for part in parts if isinstance(part, TrialRecord)]
        return RunRecords(
            tuple(sorted(records, key=lambda r: r.number)),
            tuple(part for part in parts if isinstance(part, DamagedFile)),
        )


def _read(path: Path) -> TrialRecord | DamagedFile:
    try:
        return read_record(path)
    except RunError as error:
        return DamagedFile(path, str(error).removeprefix(f"{path}: "))
