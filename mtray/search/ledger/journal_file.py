"""The journal's file; repairs lines cut short by a killed process or a full disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend

from mtray.compat.optuna import lock_of

BLOCK = 1 << 16  # bytes


def cut_half_line(path: Path) -> None:
    """Truncate the file after its last line feed; needs no free disk space."""
    if not path.is_file():
        return
    end = path.stat().st_size
    with open(path, "rb") as file:
        while end:
            start = max(0, end - BLOCK)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
    os.truncate(path, end)


def mend(path: Path) -> None:
    """Repair what a process that was killed while writing the journal left: a partial line, and
    Optuna's lock.

    Call only while holding the run's lock.
    """
    lock_of(path).unlink(missing_ok=True)
    cut_half_line(path)


class RunJournal(JournalFileBackend):
    """Optuna's journal, which removes a partial line after a failed write, so that later writes are
    not appended to it. Raises the OSError of the write."""

    def __init__(self, path: Path) -> None:
        mend(path)
        super().__init__(str(path))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        try:
            super().append_logs(logs)
        except OSError:
            cut_half_line(self._path)
            raise
