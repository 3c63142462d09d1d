"""Which sweep may write to a mirror: the one that an object in it names, with a token.

pyarrow offers no conditional writes, so this is checked before each manifest, and not in the same
moment. Two sweeps that start within the same second are told apart by reading the object again.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from mtray.errors import RunError
from mtray.mirror.bucket import Bucket
from mtray.mirror.manifest import manifest_names, place_of
from mtray.schema.base import Frozen

OBJECT = "owner.json"
BEAT = 20.0  # seconds between two signs of life
SETTLE = 1.0  # seconds after which a claim is read again
BOOT = Path("/proc/sys/kernel/random/boot_id")

Say = Callable[[str], None]


class Fenced(RunError):
    """Another sweep has taken over the mirror."""


class Owner(Frozen):
    """The sweep that writes.

    - `token`: of the sweep.
    - `epoch`: of its manifests.
    - `host`, `pid`: where it runs; `boot`: of that host's kernel.
    - `since`: when it took over, in seconds of the epoch.
    - `beat`: grows while it lives.
    - `released`: it has ended, and all is copied.
    """

    token: str
    epoch: int
    host: str
    pid: int
    boot: str
    since: float
    beat: int = 0
    released: bool = False

    def text(self) -> str:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host}, since {at}"


def read_owner(bucket: Bucket) -> Owner | None:
    """None if there is none, or one that cannot be read. Raises OSError."""
    try:
        return Owner.model_validate_json(bucket.read(OBJECT))
    except (FileNotFoundError, ValidationError):
        return None


def write_owner(bucket: Bucket, owner: Owner) -> None:
    bucket.write(OBJECT, [owner.model_dump_json().encode()])


def boot_id() -> str:
    try:
        return BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def claim(
    bucket: Bucket, token: str, say: Say, beat: float = BEAT, settle: float = SETTLE
) -> Owner:
    """Become the owner. `token`: that of an earlier start in the same folder counts as one's own.
    Raises RunError if another sweep lives; OSError."""
    found = read_owner(bucket)
    if found and not (found.released or found.token == token or _ended_here(found)):
        _wait_for_sign(bucket, found, say, beat)
    epochs = [place[0] for name in manifest_names(bucket) if (place := place_of(name))]
    mine = Owner(
        token=token, epoch=1 + max([*epochs, found.epoch if found else 0]),
        host=socket.gethostname(), pid=os.getpid(), boot=boot_id(), since=time.time(),
    )  # fmt: skip
    write_owner(bucket, mine)
    time.sleep(settle)
    check_owner(bucket, mine)
    return mine


def _ended_here(owner: Owner) -> bool:
    """Whether it ran on this machine and its process has ended."""
    if not owner.boot or owner.boot != boot_id():
        return False
    return not Path(f"/proc/{owner.pid}").exists()


def _wait_for_sign(bucket: Bucket, owner: Owner, say: Say, beat: float) -> None:
    """Watch whether another owner lives; RunError if so."""
    seconds = 2.5 * beat
    say(
        f"mirror: {bucket.shown} is written by {owner.text()}, as far as is known there; watching "
        f"for {seconds:.0f} s whether it still is"
    )
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(min(beat, 1.0))
        now = read_owner(bucket)
        if now and now.released and now.token == owner.token:
            return
        if now and (now.token, now.beat) != (owner.token, owner.beat):
            raise RunError(
                f"mirror: {bucket.shown} is being written by another sweep ({now.text()}), and two "
                "cannot write one copy. Stop that one and start this one again, or give this one "
                "another --name or another --mirror"
            )
    say(f"mirror: no sign of {owner.text()}; this sweep takes over its copy")


def check_owner(bucket: Bucket, mine: Owner) -> None:
    """Raises Fenced if another sweep has taken over."""
    found = read_owner(bucket)
    if found is not None and (found.token, found.epoch) != (mine.token, mine.epoch):
        raise Fenced(
            f"{found.text()}, has taken it over; what this sweep measures from now on is only in "
            "its run folder"
        )


class Heart:
    """Gives signs of life from a thread of its own until it is stopped."""

    def __init__(self, bucket: Bucket, owner: Owner, every: float = BEAT) -> None:
        self._bucket, self._owner, self._every = bucket, owner, every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="mirror-owner")

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        # another sweep's claim, or a bucket that cannot be reached, is reported by the copying
        while not self._over.wait(self._every):
            with contextlib.suppress(OSError):
                found = read_owner(self._bucket)
                mine = (self._owner.token, self._owner.epoch)
                if found is not None and (found.token, found.epoch) != mine:
                    return
                self._owner = self._owner.model_copy(update={"beat": self._owner.beat + 1})
                write_owner(self._bucket, self._owner)

    def stop(self, released: bool = False) -> None:
        """`released`: say that the sweep has ended, so that the next one need not wait."""
        self._over.set()
        self._thread.join(timeout=self._every)
        if released:
            check_owner(self._bucket, self._owner)
            write_owner(self._bucket, self._owner.model_copy(update={"released": True}))
