"""`share_files.py FIRST SECOND`: makes large files that two environments have alike one file, by
hard links, as `.venv` and `.venv-metrics`, which have the same torch.

A file of SECOND is replaced by a link to that of FIRST with the same path, permissions and content.
Nothing else is read, and nothing is changed in FIRST. Each file is replaced at once, so that
processes that run go on. Needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

LEAST = 1 << 16  # bytes; most space is in a few hundred libraries
# Python compares the times of its source files with those that its compiled ones name
KEPT = (".py", ".pyc")


def share(first: Path, second: Path, least: int = LEAST) -> int:
    """Bytes that the file system has more for it: those of files with no other name."""
    freed = 0
    for file in files(second):
        twin = first / file.relative_to(second)
        if not alike(twin, file, least):
            continue
        status = file.stat()
        if replace_by_link(twin, file) and status.st_nlink == 1:
            freed += status.st_size
    return freed


def files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place) / name for name in sorted(names))


def alike(one: Path, other: Path, least: int) -> bool:
    """Whether these are two regular files of one file system with the same content."""
    try:
        a, b = one.lstat(), other.lstat()
        return (
            stat.S_ISREG(a.st_mode)
            and (a.st_mode, a.st_uid, a.st_gid, a.st_dev, a.st_size)
            == (b.st_mode, b.st_uid, b.st_gid, b.st_dev, b.st_size)
            and a.st_ino != b.st_ino
            and a.st_size >= least
            and other.suffix not in KEPT
            and filecmp.cmp(one, other, shallow=False)
        )
    except OSError:
        return False


def replace_by_link(target: Path, file: Path) -> bool:
    """False where the file system has no hard links, or no more of this file."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        os.link(target, beside)
        os.replace(beside, file)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        return False
    return True


def main() -> None:
    first, second = map(Path, sys.argv[1:3])
    print(f"{second}: {share(first, second) / 1e6:,.0f} MB shared with {first}")


if __name__ == "__main__":
    main()
