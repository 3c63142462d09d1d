"""Locks on files. Some network file systems have none, which must not read as "in use"."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TextIO

from mtray.errors import ConfigError, RunError
from mtray.full_disk import naming

# of flock(2): another process holds it; EACCES on some network file systems
HELD = (errno.EWOULDBLOCK, errno.EACCES)


def lock(file: IO[str] | int, how: int, where: object) -> None:
    """Take the lock, or raise BlockingIOError where another process holds it (with LOCK_NB).
    ConfigError, naming `where`, on a file system without locks."""
    try:
        fcntl.flock(file, how)
    except OSError as error:
        if error.errno in HELD:
            raise BlockingIOError(error.errno, error.strerror) from None
        raise ConfigError(
            f"{where}: the file system there has no locks (flock: {error.strerror}), by which "
            "mtray keeps two processes from writing the same files; choose a folder on a local "
            "disk (--runs-dir, MTRAY_CACHE, MTRAY_STORE), or mount it with locks"
        ) from None


@contextlib.contextmanager
def held_alone(path: Path, busy: Callable[[str], str], unwritable: str) -> Iterator[None]:
    """Hold a lock file of a run, which names this process meanwhile. RunError, as `busy` words it
    of the holder, if another live process holds it; ConfigError, which ends in `unwritable`, if its
    folder cannot be written, or has no locks; FullDisk if the process cannot be named for lack of
    space. The kernel releases the lock when the process ends, for whatever reason."""
    with _opened(path, unwritable) as file:
        try:
            lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB, path.parent)
        except BlockingIOError:
            file.seek(0)
            raise RunError(busy(file.read().strip() or "another process")) from None
        with naming(path):
            os.ftruncate(file.fileno(), 0)
            # not through the file's buffer: `close` would write again what did not fit
            os.write(file.fileno(), f"process {os.getpid()}".encode())
        yield


def _opened(path: Path, unwritable: str) -> TextIO:
    try:
        return open(path, "a+")
    except OSError as error:
        raise ConfigError(
            f"{path.parent}: cannot be written ({error.strerror}), {unwritable}"
        ) from None
