"""What the workers of a trial print, kept in the trial's folder: Ray's own files of it are on the
worker's machine, and may be lost with it."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtray.repeated_calls import repeated

NAME = "worker-{rank}.log"
ANY = "worker-*.log"
LIMIT = 4 << 20  # bytes of a file; a worker that prints at every step fills a disk
LOOK_EVERY = 1.0  # seconds
OUTPUTS = (1, 2)  # file descriptors of standard output and error, of C++ libraries as well
BEGIN = re.compile(
    r"^=== (?P<time>\S+) trial \S+, worker (?P<rank>\d+) of \d+ on (?P<host>.+), "
    r"process (?P<process>\d+)$",
    re.MULTILINE,
)

BEGIN_BYTES = re.compile(BEGIN.pattern.encode(), re.MULTILINE)


@dataclass(frozen=True)
class WorkerPlace:
    """Where a worker of a trial ran last: its rank, host and process, since when, and the file of
    what it printed."""

    rank: int
    host: str
    process: int
    time: str
    log: str

    @property
    def text(self) -> str:
        return f"worker {self.rank} on {self.host}, process {self.process}, since {self.time}"


@contextlib.contextmanager
def output_into(folder: Path, trial: str, rank: int, world: int, address: str) -> Iterator[None]:
    """Append what this process prints to a file in the trial's folder, of which the end is kept
    (`LIMIT`). Where that cannot be written, the output stays where it was."""
    host = f"{socket.gethostname()} ({address})"
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    first = f"=== {now} trial {trial}, worker {rank} of {world} on {host}, process {os.getpid()}\n"
    path = folder / NAME.format(rank=rank)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError:
        yield
        return
    with contextlib.suppress(OSError):
        os.write(handle, first.encode())
    _flush()
    before = [os.dup(output) for output in OUTPUTS]
    for output in OUTPUTS:
        os.dup2(handle, output)
    os.close(handle)
    try:
        with _kept_short(path):
            yield
    finally:
        _flush()
        for output, kept in zip(OUTPUTS, before, strict=True):
            os.dup2(kept, output)
            os.close(kept)


@contextlib.contextmanager
def _kept_short(path: Path) -> Iterator[None]:
    """Shorten the file now and then, and at the end."""
    try:
        with repeated(lambda: shorten(path), LOOK_EVERY, "worker log"):
            yield
    finally:
        _flush()
        shorten(path)


def shorten(path: Path, limit: int = LIMIT) -> None:
    """Keep the second half of a file that is longer than `limit` bytes, and the line on where the
    worker runs. The file itself stays, since it is open for appending; what is printed in this
    moment may be lost."""
    with contextlib.suppress(OSError):
        if path.stat().st_size <= limit:
            return
        text = path.read_bytes()
        cut = text.find(b"\n", len(text) - limit // 2) + 1 or len(text) - limit // 2
        begins = [*BEGIN_BYTES.finditer(text, 0, cut)]
        place = begins[-1].group() + b"\n" if begins else b""
        with open(path, "r+b") as file:
            file.truncate(0)
            file.write(place + b"--- %d bytes left out ---\n" % cut + text[cut:])


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def worker_places(folder: Path) -> list[WorkerPlace]:
    """Where the workers of a trial ran last, by rank."""
    found = []
    for file in sorted(folder.glob(ANY)):
        with contextlib.suppress(OSError):
            text = file.read_text(encoding="utf-8", errors="replace")
            if begins := [*BEGIN.finditer(text)]:
                last = begins[-1].groupdict()
                found.append(
                    WorkerPlace(
                        int(last["rank"]), last["host"], int(last["process"]), last["time"],
                        str(file),
                    )
                )  # fmt: skip
    return sorted(found, key=lambda place: place.rank)


def places_text(folder: Path) -> str:
    """The same in words; empty if no worker has begun."""
    return "; ".join(place.text for place in worker_places(folder))


def places_record(folder: Path) -> dict[str, Any]:
    """For `TrialRecord.extra` of a failed trial; empty if no worker has begun."""
    places = worker_places(folder)
    return {"workers": [vars(place) for place in places]} if places else {}


def forget_logs(folder: Path) -> None:
    for file in folder.glob(ANY):
        file.unlink(missing_ok=True)
