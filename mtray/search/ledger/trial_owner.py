"""Which process may write into a trial's folder: the one that began to work on it last. A machine
that was cut off goes on without knowing that its trial was begun again elsewhere."""

from __future__ import annotations

import secrets
from pathlib import Path

from mtray.errors import TakenOver
from mtray.files import write_atomically

PREFIX = ".owner-"


class Owner:
    """A process that works on a trial.

    part: `trial`, the trial's own process, or `workers`, those that train; of each there is one
    owner at a time.
    """

    def __init__(self, folder: Path, part: str) -> None:
        self._file, self._token = folder / f"{PREFIX}{part}", secrets.token_hex(16)

    def take(self) -> None:
        """Become the owner; the one before may write no more."""
        write_atomically(self._file, self._token.encode())

    def check(self) -> None:
        """Raise TakenOver if another process has become the owner, or the trial has ended."""
        try:
            owner = self._file.read_text(encoding="ascii")
        except FileNotFoundError:
            owner = ""
        if owner != self._token:
            raise TakenOver(
                f"{self._file.parent}: another process has taken over this trial or ended it, so "
                "this one writes nothing there any more"
            )


def forget_owners(folder: Path) -> None:
    for file in folder.glob(f"{PREFIX}*"):
        file.unlink(missing_ok=True)
