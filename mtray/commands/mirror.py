"""`mirror`: copy a run to a bucket, once or beside a sweep, or bring it back from there."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

from mtray.commands.run_argument import run_folder
from mtray.errors import ConfigError, RunError
from mtray.mirror.address import checked_address
from mtray.mirror.owner import Fenced, read_owner
from mtray.mirror.restore import restore
from mtray.mirror.session import Mirroring, claimed, reached
from mtray.mirror.state import copying_alone, read_state
from mtray.run_files import STUDY_FILE
from mtray.search.ledger.run_folder import locked
from mtray.side_process import begin_beside

LOOK = 2.0  # seconds between two looks at the run
GIVE_UP = 120.0  # seconds after the sweep's end without a success
TOLD = 30.0  # seconds between two messages on what is left


def mirror(
    path: Path, to: str | None, source: str | None, replace: bool, without_damaged: bool,
    beside: bool = False,
) -> int:  # fmt: skip
    """Copy a run, or restore it. `beside` a sweep: again and again, until standard input ends.
    Raises ConfigError and RunError."""
    if (to is None) == (source is None):
        raise ConfigError("give either --to URI, to copy the run, or --from URI, to restore it")
    if replace and to is None:
        raise ConfigError("--replace: needs --to URI")
    if without_damaged and source is None:
        raise ConfigError("--without-damaged: needs --from URI")
    if source is not None:
        return _restore(path, checked_address(source, "--from"), without_damaged)
    assert to is not None
    address = checked_address(to, "--to")
    if beside:
        return _beside(path.absolute(), address)
    return _copy(run_folder(path), address, replace)


def _restore(path: Path, address: str, without_damaged: bool) -> int:
    run_dir = path.absolute()
    bucket = reached(address, run_dir.name, "--from")
    if (run_dir / STUDY_FILE).exists():
        raise RunError(f"{path}: there is a run already; move it away, or name another folder")
    if restore(bucket, run_dir, _say, without_damaged) is None:
        raise RunError(f"{bucket.shown}: no copy of a run is there")
    return 0


def _copy(run_dir: Path, address: str, replace: bool) -> int:
    """Copy a run on which no sweep works. RunError if not all of it is there afterwards."""
    with locked(run_dir), copying_alone(run_dir):
        owner = claimed(address, run_dir, _say, replace, "--to")
        bucket = reached(address, run_dir.name, "--to")
        copying = Mirroring(bucket, run_dir, owner, _say, anew=replace)
        done = _finished(copying)
        state = read_state(run_dir)
    if not done:
        why = f": {state.error}" if state and state.error else ""
        raise RunError(f"{address}: not all is copied{why}; the same command copies the rest")
    if state:
        print(state.line())
    return 0


def _beside(run_dir: Path, address: str) -> int:
    """Copy a running sweep, which has claimed the copy, and the rest when standard input has
    ended. 2 if something is missing in the end."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # of a closed terminal: the rest is still copied
    over = begin_beside()
    with copying_alone(run_dir):
        copying = _begun(run_dir, address, over)
        try:
            while not over.wait(LOOK):
                copying.once()
            return 0 if _finished(copying) else 2
        except Fenced as error:
            _say(f"mirror: {copying.bucket.shown} is not written any more: {error}")
            return 2


def _begun(run_dir: Path, address: str, over: threading.Event) -> Mirroring:
    """What the sweep has claimed. Waits while the mirror cannot be reached. RunError if it belongs
    to another sweep, or cannot be reached after the sweep's end."""
    while True:
        try:
            bucket = reached(address, run_dir.name, "--mirror")
            state, owner = read_state(run_dir), read_owner(bucket)
            break
        except RunError:
            if over.is_set():
                raise
            over.wait(LOOK)
    if state is None or owner is None or owner.token != state.token:
        raise RunError(f"mirror: {bucket.shown} belongs to another sweep")
    return Mirroring(bucket, run_dir, owner, _say)


def _finished(copying: Mirroring) -> bool:
    """Copy the rest and release the mirror; False if it could not be reached for too long."""
    succeeded = told = time.monotonic()
    while True:
        if copying.once(at_once=True):
            succeeded = time.monotonic()
            if copying.complete():
                copying.end(released=True)
                return True
        now = time.monotonic()
        if now - succeeded > GIVE_UP:
            copying.end(released=False)
            return False
        if now - told > TOLD:
            told = now
            left = GIVE_UP - (now - succeeded)
            _say(f"mirror: still trying to copy the rest, for at most {left:.0f} s more")
        time.sleep(LOOK)


def _say(text: str) -> None:
    print(text, flush=True)
