"""How many more processes and threads this user, or this container, may start. Ray starts hundreds,
and without them it ends with errors that say nothing of the limit. Standard library only."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mtray.control_group import control_group_folders
from mtray.errors import RunError

# measured with Ray 2.60 on two cores: 436 threads with one worker; with 300 allowed it does not
# start within 75 s, with 150 it fails
LEAST = 300
BASE, EACH_CORE = 200, 120


@dataclass(frozen=True)
class ProcessLimit:
    """The tightest limit on processes and threads.

    - `what`: its name, such as `ulimit -u`.
    - `allowed`, `used`: numbers of processes and threads.
    """

    what: str
    allowed: int
    used: int

    @property
    def left(self) -> int:
        return self.allowed - self.used

    @property
    def enough(self) -> bool:
        return self.left >= wanted()

    @property
    def text(self) -> str:
        return f"{self.what} allows {self.allowed:,} processes and threads ({self.used:,} in use)"

    @property
    def shortage(self) -> str:
        """What to say where there are not enough."""
        return (
            f"{self.text}, and a sweep on this machine starts about {wanted():,}: raise it "
            f"(`ulimit -u {self.used + wanted()}`, or the container's limit)"
        )


def wanted(cores: int | None = None) -> int:
    """How many a sweep of this machine starts, roughly."""
    return BASE + EACH_CORE * (cores or os.cpu_count() or 1)


def process_limit(root: Path = Path("/")) -> ProcessLimit | None:
    """The limit that leaves the fewest; None if there is none."""
    return min(_limits(root), key=lambda found: found.left, default=None)


def _limits(root: Path) -> Iterator[ProcessLimit]:
    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if soft != resource.RLIM_INFINITY and os.getuid():  # the kernel exempts root
        yield ProcessLimit("ulimit -u", soft, _threads_of(os.getuid(), root))
    for folder in control_group_folders("pids", root):
        try:
            most = int((folder / "pids.max").read_text(encoding="utf-8"))
            used = int((folder / "pids.current").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # no such controller, or "max"
            continue
        yield ProcessLimit(f"the control group ({folder / 'pids.max'})", most, used)


def _threads_of(user: int, root: Path) -> int:
    found = 0
    for folder in (root / "proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == user:
                found += len(os.listdir(folder / "task"))
        except OSError:  # it has ended
            continue
    return found


def check_processes(root: Path = Path("/")) -> str:
    """A line if there are fewer left than a sweep wants; empty if there are enough. Raises RunError
    if Ray cannot start at all."""
    found = process_limit(root)
    if found is None or found.enough:
        return ""
    if found.left < LEAST:
        raise RunError(found.shortage)
    return found.shortage
