"""Reads a run's records for the ledger. A file that cannot be read is moved aside and reported, so
that the sweep continues without it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from mtray.errors import RunError
from mtray.report.records import read_record, read_records
from mtray.run_files import BASE_NUMBER, result_path
from mtray.schema import TrialRecord
from mtray.search.ledger.record_family import PENDING, complete_family, pending


class RecordFiles:
    """`damaged` lists every file that was moved aside, the reason, and the consequence for its
    trial."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self.damaged: list[str] = []

    def read(self, number: int) -> TrialRecord | None:
        """A trial's record if it exists and can be read; without one the trial runs again."""
        path = result_path(self._run_dir, number)
        try:
            return read_record(path) if path.is_file() else None
        except RunError as error:
            self._set_aside(path, f"{error}", "the trial runs again")
            return None

    def readable(self, numbers: Iterable[int]) -> list[TrialRecord]:
        """The existing, readable records of these trials; moves no file."""
        found = []
        for number in numbers:
            with contextlib.suppress(RunError):
                found.append(read_record(result_path(self._run_dir, number)))
        return found

    def set_aside_damaged(self, numbers: Iterable[int]) -> None:
        """Move aside unreadable records of trials that the study already knows."""
        broken = {d.path: d.reason for d in read_records(self._run_dir).damaged}
        for path in (result_path(self._run_dir, number) for number in numbers):
            if path in broken:
                then = "the front leaves out the trial, whose values the search keeps"
                self._set_aside(path, f"{path}: {broken[path]}", then)

    def set_aside_orphans(self, numbers: Iterable[int]) -> None:
        """Move aside further points of trials that ended without a measurement or run again; an
        earlier version wrote them before the trial's own record."""
        for path in (result_path(self._run_dir, number) for number in numbers):
            if path.is_file():
                then = (
                    "the trial that it belongs to was not measured, and writes it again once it is"
                )
                self._set_aside(path, f"{path}: its trial is missing", then)

    def complete_family(self, number: int) -> None:
        """Write the further points of a trial if a process died before writing them."""
        try:
            complete_family(self._run_dir, number)
        except RunError as error:
            then = "the further points of the trial are lost"
            self._set_aside(pending(self._run_dir, number), f"{error}", then)

    def complete_families(self) -> None:
        for path in sorted((self._run_dir / "trials").glob(f"*/{PENDING}")):
            self.complete_family(int(path.parent.name))

    def _set_aside(self, path: Path, why: str, then: str) -> None:
        aside = path.with_name(f"{path.name}.damaged")
        os.replace(path, aside)
        self.damaged.append(f"{why}; moved to {aside.name}, and {then}")

    def lacks_base(self) -> bool:
        return not result_path(self._run_dir, BASE_NUMBER).is_file()

    def forget_failed_base(self) -> None:
        """Delete the record of a base model that could not be measured, to measure it again:
        without it every trial fails."""
        base = self.read(BASE_NUMBER)
        if base is not None and base.state != "complete":
            result_path(self._run_dir, BASE_NUMBER).unlink()
