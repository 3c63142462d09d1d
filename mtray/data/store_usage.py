"""Which token stores are in use and when they were last used, and the deletion of unused ones.

Whoever opens a store holds a shared lock on `KEY.used` next to it until its process ends; the
modification time of that file is the time of last use. A store is deleted only under an exclusive
lock on that file and on the builders' lock.
"""

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

from mtray.errors import ConfigError
from mtray.file_locks import lock

MANIFEST = "manifest.json"
USED, LOCK = ".used", ".lock"
STORES = re.compile(r"[0-9a-f]{32}$|\.[0-9a-f]{32}\.")  # other names are not mtray's
_HELD: dict[Path, int] = {}  # descriptors, for the life of this process


def hold(folder: Path) -> None:
    """Mark the store as used now, and prevent its deletion as long as this process lives. Does
    nothing where the files next to it cannot be written; then nobody here can delete it either."""
    mark = folder.with_name(folder.name + USED)
    with contextlib.suppress(OSError, ConfigError):
        if mark not in _HELD or not _is(mark, _HELD[mark]):
            _HELD[mark] = _lock(mark, fcntl.LOCK_SH)
        os.utime(mark)


@contextlib.contextmanager
def locked(path: Path, how: int) -> Iterator[None]:
    """Hold the file's lock, which the kernel releases when the process ends in any way. With
    `LOCK_NB`, raises BlockingIOError where another process holds it."""
    file = _lock(path, how)
    try:
        yield
    finally:
        os.close(file)


def _lock(path: Path, how: int) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            lock(file, how, path.parent)
        except (OSError, ConfigError):
            os.close(file)
            raise
        if _is(path, file):  # else it was deleted before we got the lock
            return file
        os.close(file)


def _is(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


@dataclass(frozen=True)
class StoreUsage:
    """The folder of a store.

    - `name`: of its source, empty where the store is incomplete.
    - `bytes`: of all files.
    - `used`: time of last use, in seconds since 1970.
    """

    folder: Path
    name: str
    bytes: int
    used: float

    @property
    def days(self) -> float:
        """Days since the last use."""
        return (time.time() - self.used) / 86400


def all_stores(root: Path) -> list[StoreUsage]:
    """Every store, and what killed builders have left, least recently used first."""
    found = []
    for folder in root.iterdir() if root.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):  # deleted by another process
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
    """The key of a store, or of a builder's incomplete one (`.KEY.HOST.PID`)."""
    return folder.name.lstrip(".").split(".")[0]


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[list[Path]]:
    """The store's locks while nobody uses or builds it, none where somebody does; nobody can start
    to inside the context."""
    marks = [folder.with_name(_key(folder) + ending) for ending in (USED, LOCK)]
    with contextlib.ExitStack() as stack:
        try:
            for mark in marks:
                stack.enter_context(locked(mark, fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            marks = []
        yield marks


def is_used(kept: StoreUsage) -> bool:
    """Whether a process uses or builds the store. Raises OSError."""
    with _alone(kept.folder) as marks:
        return not marks


def delete_store(kept: StoreUsage) -> bool:
    """Delete it; False where a process uses or builds it. Raises OSError."""
    with _alone(kept.folder) as marks:
        if marks:
            # moved away first, so that nobody finds a partial store
            gone = kept.folder.with_name(f".{_key(kept.folder)}.gone.{os.getpid()}")
            kept.folder.rename(gone)
            shutil.rmtree(gone)
            for mark in marks:
                mark.unlink(missing_ok=True)
        return bool(marks)


def oldest(stores: list[StoreUsage], days: float, most_bytes: float | None) -> list[StoreUsage]:
    """Of stores in the order of `all_stores`: those not used for this many days, incomplete ones,
    and as many more of the least recently used as needed to leave at most this many bytes."""
    chosen = [kept for kept in stores if kept.days >= days or not kept.name]
    left = sum(kept.bytes for kept in stores) - sum(kept.bytes for kept in chosen)
    for kept in stores:
        if most_bytes is None or left <= most_bytes:
            break
        if kept not in chosen:
            chosen.append(kept)
            left -= kept.bytes
    return chosen
