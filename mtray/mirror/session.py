"""The mirror of one sweep: restored, claimed and compared before it, copied beside it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mtray.errors import ConfigError, MtrayError, RunError
from mtray.full_disk import FullDisk
from mtray.mirror.address import OPTION, error_text, opened, shown
from mtray.mirror.bucket import Bucket
from mtray.mirror.comparison import check_not_older, is_empty
from mtray.mirror.copier import Copier
from mtray.mirror.manifest import drop_damaged, newest
from mtray.mirror.owner import Fenced, Heart, Owner, claim, read_owner
from mtray.mirror.restore import restore
from mtray.mirror.state import MirrorState, read_state, write_state

FIRST_WAIT, LONGEST_WAIT = 2.0, 60.0  # seconds after a failed try; doubled each time

Say = Callable[[str], None]


def reached(address: str, run: str, option: str) -> Bucket:
    """The place of a run's copy. ConfigError if the address is none; RunError if it cannot be
    reached."""
    try:
        bucket = opened(address, option).within(run)
        read_owner(bucket)
        return bucket
    except MtrayError:
        raise
    except Exception as error:
        raise RunError(unreachable(address, error)) from None


def _place(address: str, run_dir: Path, option: str) -> Bucket:
    """As `reached`; ConfigError if the copy would be in the run's own folder, which would be copied
    into itself again and again."""
    bucket = reached(address, run_dir.name, option)
    if bucket.is_in(run_dir):
        raise ConfigError(
            f"{option} {shown(address)}: the copy would be {bucket.shown}, which is in the run's "
            f"own folder ({run_dir}); name a place outside it"
        )
    return bucket


def unreachable(address: str, error: Exception) -> str:
    return (
        f"mirror: {address} cannot be reached ({error_text(error)}); check it with: python -m "
        f"mtray doctor --mirror {address}"
    )


def restore_missing(address: str, run_dir: Path, tell: Say) -> None:
    """Restore the run from its copy if there is one and the folder holds no run. Raises RunError
    or FullDisk for the run's folder."""
    if not is_empty(run_dir):
        return
    bucket = reached(address, run_dir.name, OPTION)
    with _named(address):
        if restore(bucket, run_dir, tell) is None:
            tell(f"mirror: {bucket.shown} is empty: a new run begins")


def restorable(address: str, run_dir: Path) -> str:
    """For `--dry-run`: what a start would do with the mirror."""
    bucket = _place(address, run_dir, OPTION)
    with _named(address):
        found = newest(bucket)
        if found is None:
            return f"mirror: {bucket.shown} is empty"
        if is_empty(run_dir):
            return (
                f"mirror: {run_dir} would be restored from {bucket.shown} ({found.ended} records); "
                "this plan is that of a new run"
            )
        check_not_older(run_dir, bucket, found, address)
    return f"mirror: {bucket.shown} has {found.ended} records"


@contextlib.contextmanager
def _named(address: str) -> Iterator[None]:
    """Turns an error of the bucket into a RunError with the address."""
    try:
        yield
    except FullDisk:  # this machine's disk, not the bucket
        raise
    except OSError as error:
        raise RunError(unreachable(address, error)) from None


def claimed(
    address: str, run_dir: Path, tell: Say, replace: bool = False, option: str = OPTION
) -> Owner:
    """Make this process's sweep the owner of the copy, which must be of this run and not newer,
    unless the folder is to `replace` it. Call while holding the run's lock. Raises RunError."""
    bucket = _place(address, run_dir, option)
    with _named(address):
        found = None if replace else newest(bucket)
        if found is not None:
            check_not_older(run_dir, bucket, found, address)
        before, inode = read_state(run_dir), run_dir.stat().st_ino
        state = MirrorState(address=bucket.shown, folder=inode)
        if before and before.address == state.address:
            state = before.model_copy(update={"error": "", "fenced": "", "failing_since": None})
            if before.folder != inode:  # restored, or a copy of another folder
                fresh = MirrorState(address=bucket.shown, folder=inode)
                state = state.model_copy(update={"token": fresh.token, "folder": inode})
        owner = claim(bucket, state.token, tell)
        # what another sweep has copied until now
        if replace:
            drop_damaged(bucket)
        elif (after := newest(bucket)) is not None and after != found:
            check_not_older(run_dir, bucket, after, address)
    write_state(run_dir, state)
    return owner


@dataclass
class Mirroring:
    """Copies a run again and again, and notes in its folder how that goes.

    - `owner`: as claimed.
    - `anew`: the folder replaces the copy.
    """

    bucket: Bucket
    run_dir: Path
    owner: Owner
    tell: Say
    anew: bool = False

    def __post_init__(self) -> None:
        self._copier = Copier(self.bucket, self.run_dir, self.owner, self.anew)
        self._state = read_state(self.run_dir) or MirrorState(address=self.bucket.shown)
        self._heart = Heart(self.bucket, self.owner)
        self._heart.start()
        self._adopted, self._wait, self._not_before = False, FIRST_WAIT, 0.0

    @property
    def failing(self) -> bool:
        return bool(self._state.error)

    @property
    def seconds_to_wait(self) -> float:
        return max(0.0, self._not_before - time.monotonic())

    def once(self, at_once: bool = False) -> bool:
        """Copy what is new. False if that failed, which is said once; it is tried again by a later
        call after a growing pause, or `at_once`. Raises Fenced if another sweep has taken over."""
        if self.seconds_to_wait and not at_once:
            return False
        failed = self.failing
        try:
            if not self._adopted:
                self._copier.adopt()
                self._adopted = True
            if self._copier.due() or failed:
                self._copier.records()
                self._note()
            self._copier.large()
        except Fenced as error:
            self._note(fenced=str(error))
            raise
        # whatever a bucket raises must not harm the sweep
        except Exception as error:
            self._failed(error)
            return False
        if failed:
            self.tell(f"mirror: {self.bucket.shown} is written again, and has what it missed")
        self._wait = FIRST_WAIT
        self._note()
        return True

    def complete(self) -> bool:
        """Whether the bucket holds all that its manifest names."""
        try:
            return self._copier.verify()
        except Exception as error:
            self._failed(error)
            return False

    def end(self, released: bool) -> None:
        self._heart.stop(released)

    def _failed(self, error: Exception) -> None:
        text = error_text(error)
        if not self.failing:
            self.tell(
                f"mirror: {self.bucket.shown} cannot be written ({text}); the sweep goes on, and "
                "it is tried again"
            )
        since = self._state.failing_since or time.time()
        self._not_before = time.monotonic() + self._wait
        self._wait = min(LONGEST_WAIT, 2 * self._wait)
        self._write(error=text, failing_since=since)

    def _note(self, fenced: str = "") -> None:
        now = self._copier.current
        known = {} if now is None else {
            "epoch": now.epoch, "sequence": now.sequence, "copied": now.written,
            "ended": now.ended,
        }  # fmt: skip
        self._write(
            **known, error="", failing_since=None, fenced=fenced, pending=self._copier.pending
        )

    def _write(self, **changes: object) -> None:
        state = self._state.model_copy(update=changes)
        if state != self._state:
            self._state = state
            write_state(self.run_dir, state)
