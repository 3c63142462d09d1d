"""The hash of a file, and atomic writes: a file is complete or absent, even if the process or the
machine dies."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtray.full_disk import naming

READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)  # of a place that cannot be written
BLOCK = 1 << 22  # bytes read at once


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sync(path: Path) -> None:
    """Flush a file's content, or a folder's entries, to disk; some network file systems refuse the
    latter."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(handle)


def share(path: Path) -> None:
    """Give a file or folder the permissions of the umask: safetensors creates files readable only
    by their owner, and a run's folder is often shared."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")  # os.umask() would set it
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("Umask:"))
    path.chmod((0o777 if path.is_dir() else 0o666) & ~int(mask, 8))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path next to `path` to write to, moved there at the end, so that readers see the
    old content or the new and nothing between; removed if writing fails. Two processes may write at
    once: the later one wins. Raises FullDisk for `path`."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with naming(path, partial):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            share(partial)
            sync(partial)
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    sync(path.parent)  # makes the move durable


def write_atomically(path: Path, content: bytes) -> Path:
    """Write a file of this content, with `replacing`."""
    with replacing(path) as partial:
        partial.write_bytes(content)
    return path
