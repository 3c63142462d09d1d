"""Folders of this process's control group, where the kernel shows its limits and counters. Standard
library only."""

from __future__ import annotations

from pathlib import Path

LIMITS = ("memory.max", "memory.limit_in_bytes")  # of version 2 and version 1
UNLIMITED = 1 << 60  # version 1 has no word for it


def control_group_folders(controller: str, root: Path = Path("/")) -> list[Path]:
    """Where a controller's files may be, the most specific first: of version 2 and version 1, each
    also as a container sees them."""
    mounted, found = root / "sys/fs/cgroup", list[Path]()
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            top = mounted / controller if controllers else mounted
            found += [top / path.strip("/"), top]
    return list(dict.fromkeys(found))


def memory_limit(root: Path = Path("/")) -> int | None:
    """The bytes that this process and the others of its control group may use together, by the
    tightest limit; None without one."""
    found = []
    for folder in control_group_folders("memory", root):
        for name in LIMITS:
            try:
                found.append(int((folder / name).read_text(encoding="utf-8")))
            except (OSError, ValueError):  # no such file, or "max"
                continue
    return min((most for most in found if most < UNLIMITED), default=None)
