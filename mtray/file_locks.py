"""Locks on files. Some network file systems have none, which must not read as "in use"."""

from __future__ import annotations

import errno
import fcntl
from typing import IO

from mtray.errors import ConfigError

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
