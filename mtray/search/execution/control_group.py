"""Folders of this process's control group, where the kernel shows its limits and counters. Standard
library only."""

from __future__ import annotations

from pathlib import Path


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
