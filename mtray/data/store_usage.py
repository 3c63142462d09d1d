"""Who uses a token store, and when somebody did last; and stores that nobody does taken away.

Whoever opens a store holds a shared lock on `KEY.used` beside it until its process ends, and the
time of that file is that of the last use. A store is taken away only under the whole of that lock
and of the one that builders take."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MANIFEST = "manifest.json"
USED, LOCK = ".used", ".lock"
STORES = re.compile(r"[0-9a-f]{32}$|\.[0-9a-f]{32}\.")  # all else in the folder is not ours
_HELD: dict[Path, int] = {}  # descriptors, for the life of this process


def hold(folder: Path) -> None:
    """Nobody takes the store away as long as this process lives; it was used now. Does nothing
    where the files beside it cannot be written: then nobody here can take it away either."""
    mark = folder.with_name(folder.name + USED)
    with contextlib.suppress(OSError):
        if mark not in _HELD or not _is(mark, _HELD[mark]):
            _HELD[mark] = _lock(mark, fcntl.LOCK_SH)
        os.utime(mark)


@contextlib.contextmanager
def locked(path: Path, how: int) -> Iterator[None]:
    """With the file's lock, which the kernel drops with the process, however it ends. Raises
    BlockingIOError with `LOCK_NB` where another has it."""
    file = _lock(path, how)
    try:
        yield
    finally:
        os.close(file)


def _lock(path: Path, how: int) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, how)
        except OSError:
            os.close(file)
            raise
        if _is(path, file):  # else it was taken away before it was ours
            return file
        os.close(file)


def _is(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


@dataclass(frozen=True)
class StoreUsage:
    """A folder of the store: `name` of its source, empty where it is not whole; `bytes` of all
    files, `used` in seconds since 1970."""

    folder: Path
    name: str
    bytes: int
    used: float

    @property
    def days(self) -> float:
        """Since it was used."""
        return (time.time() - self.used) / 86400


def all_stores(root: Path) -> list[StoreUsage]:
    """Every store, and what builders that were killed have left, the longest unused first."""
    found = []
    for folder in root.iterdir() if root.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):  # taken away by another
            if folder.is_dir() and STORES.match(folder.name):
                found.append(_kept(folder))
    return sorted(found, key=lambda kept: (kept.used, kept.folder.name))


def _kept(folder: Path) -> StoreUsage:
    files = [file.stat() for file in folder.rglob("*") if file.is_file()]
    times = [folder.stat().st_mtime]
    mark = folder.with_name(folder.name + USED)
    if mark.is_file():
        times.append(mark.stat().st_mtime)
    try:
        name = str(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError):
        name = ""
    return StoreUsage(folder, name, sum(file.st_size for file in files), max(times))


def _key(folder: Path) -> str:
    """Of a store, or of the half-made one of a builder (`.KEY.HOST.PID`)."""
    return folder.name.lstrip(".").split(".")[0]


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[list[Path]]:
    """The store's locks while nobody uses or builds what is there, none where somebody does; nobody
    begins to within."""
    marks = [folder.with_name(_key(folder) + ending) for ending in (USED, LOCK)]
    with contextlib.ExitStack() as stack:
        try:
            for mark in marks:
                stack.enter_context(locked(mark, fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            marks = []
        yield marks


def is_used(kept: StoreUsage) -> bool:
    """Whether a process uses the store or builds it. Raises OSError."""
    with _alone(kept.folder) as marks:
        return not marks


def delete_store(kept: StoreUsage) -> bool:
    """Delete it; False where a process uses or builds it. Raises OSError."""
    with _alone(kept.folder) as marks:
        if marks:
            # first from its place, so that nobody finds a part of it
            gone = kept.folder.with_name(f".{_key(kept.folder)}.gone.{os.getpid()}")
            kept.folder.rename(gone)
            shutil.rmtree(gone)
            for mark in marks:
                mark.unlink(missing_ok=True)
        return bool(marks)


def oldest(stores: list[StoreUsage], days: float, most_bytes: float | None) -> list[StoreUsage]:
    """Of stores in the order of `kept_stores` those that were not used for so many days, those
    that are not whole, and as many more of the longest unused as leave at most so many bytes."""
    chosen = [kept for kept in stores if kept.days >= days or not kept.name]
    left = sum(kept.bytes for kept in stores) - sum(kept.bytes for kept in chosen)
    for kept in stores:
        if most_bytes is None or left <= most_bytes:
            break
        if kept not in chosen:
            chosen.append(kept)
            left -= kept.bytes
    return chosen
