"""What is known of a run's mirror, as a small file in its folder: for `status`, the page, and the
next start. It has no credentials in it."""

from __future__ import annotations

import secrets
import time
from contextlib import AbstractContextManager
from pathlib import Path

from pydantic import Field, ValidationError

from mtray.file_locks import held_alone
from mtray.files import write_atomically
from mtray.run_files import MIRROR_FILE, MIRROR_LOCK
from mtray.schema.base import Frozen


class MirrorState(Frozen):
    """A run's mirror, as the process that copies last knew it.

    - `address`: for people.
    - `token`: of the sweep that writes there.
    - `folder`: inode of the run's folder, which a copy of the folder does not have.
    - `epoch`, `sequence`: of the last complete copy.
    - `copied`: when that was, in seconds of the epoch; None: nothing is copied yet.
    - `ended`: the records in it.
    - `pending`: large files and checkpoints that are still to be copied.
    - `error`: why the last try failed; empty: it did not. `failing_since`: since when.
    - `fenced`: who has taken over the mirror; empty: nobody.
    """

    address: str
    token: str = Field(default_factory=lambda: secrets.token_hex(16))
    folder: int = 0
    epoch: int = 0
    sequence: int = 0
    copied: float | None = None
    ended: int = 0
    pending: int = 0
    error: str = ""
    failing_since: float | None = None
    fenced: str = ""

    @property
    def problem(self) -> str:
        """What a person should know; empty if all is well."""
        if self.fenced:
            return f"mirror: {self.address}: not written any more: {self.fenced}"
        if not self.error:
            return ""
        since = "" if self.failing_since is None else f" since {_clock(self.failing_since)}"
        return (
            f"mirror: {self.address}: cannot be written{since} ({self.error}); {self._last()}; it "
            "is tried again while a sweep runs"
        )

    def line(self) -> str:
        """For `status`, for example `mirror: s3://b/p/run: complete as of 2026-11-29 18:05, 12
        records`."""
        if self.problem:
            return self.problem
        more = f"; still to be copied: {self.pending} large files" if self.pending else ""
        return f"mirror: {self.address}: {self._last()}{more}"

    def _last(self) -> str:
        if self.copied is None:
            return "nothing is copied yet"
        return f"complete as of {_clock(self.copied)}, {self.ended} records"


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def read_state(run_dir: Path) -> MirrorState | None:
    """None if the run has no mirror, or the file is damaged."""
    try:
        return MirrorState.model_validate_json((run_dir / MIRROR_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def write_state(run_dir: Path, state: MirrorState) -> None:
    write_atomically(run_dir / MIRROR_FILE, state.model_dump_json(indent=1).encode())


def copying_alone(run_dir: Path) -> AbstractContextManager[None]:
    """Hold the lock of the one process that may copy this run. RunError if another one does."""
    return held_alone(
        run_dir / MIRROR_LOCK,
        lambda holder: f"{run_dir}: is being copied to its mirror by {holder}; wait for it",
        "and how far it is copied is noted there",
    )


def mirror_lines(run_dir: Path) -> list[str]:
    """For `status`; none if the run has no mirror."""
    found = read_state(run_dir)
    return [found.line()] if found else []


def mirror_problems(run_dir: Path) -> list[str]:
    """For the page's alerts."""
    found = read_state(run_dir)
    return [found.problem] if found and found.problem else []
