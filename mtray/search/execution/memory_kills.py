"""Whether the kernel has killed processes of this machine because memory ran out, by the counters
of the control group that this process is in."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from mtray.control_group import control_group_folders, memory_limit

RECENTLY = 30.0  # seconds between a kill and the loss of a worker that it explains
GB = 1 << 30


def kills(root: Path = Path("/")) -> int:
    """How many processes the kernel has killed so far for lack of memory in this process's control
    group or, where it has no counter, on this machine; 0 if no counter can be read."""
    folders = control_group_folders("memory", root)
    files = [f / n for f in folders for n in ("memory.events", "memory.oom_control")]
    for file in (*files, root / "proc/vmstat"):
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def limit_text(root: Path = Path("/")) -> str:
    """The group's limit, such as `of 4 GB `; empty if there is none."""
    most = memory_limit(root)
    return "" if most is None else f"of {most / GB:.3g} GB "


class MemoryKills:
    """Notes when the counter rises. `look` is called every few seconds, so that a kill of long ago
    explains no loss of today."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root, self._count, self._risen = root, kills(root), float("-inf")
        self._lock = threading.Lock()

    def look(self) -> None:
        count = kills(self._root)
        with self._lock:
            if count > self._count:
                self._count, self._risen = count, time.monotonic()

    def recent(self) -> bool:
        """Whether the kernel has killed a process a moment ago."""
        self.look()
        return time.monotonic() - self._risen < RECENTLY

    def reason(self, what: str) -> str:
        """`what` ended, and what to do about it."""
        return (
            f"{what}: the kernel killed it because the memory {limit_text(self._root)}was used up; "
            "lower `resources.concurrent_trials`"
        )


WATCH = MemoryKills()  # of this process and its executors
