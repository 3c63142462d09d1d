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

NAME = "worker-{rank}.log"
ANY = "worker-*.log"
OUTPUTS = (1, 2)  # file descriptors of standard output and error, of C++ libraries as well
BEGIN = re.compile(
    r"^=== (?P<time>\S+) trial \S+, worker (?P<rank>\d+) of \d+ on (?P<host>.+), "
    r"process (?P<process>\d+)$",
    re.MULTILINE,
)


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
    """Append what this process prints to a file in the trial's folder. Where that cannot be
    written, the output stays where it was."""
    host = f"{socket.gethostname()} ({address})"
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    first = f"=== {now} trial {trial}, worker {rank} of {world} on {host}, process {os.getpid()}\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(
            folder / NAME.format(rank=rank), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666
        )
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
        yield
    finally:
        _flush()
        for output, kept in zip(OUTPUTS, before, strict=True):
            os.dup2(kept, output)
            os.close(kept)


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
