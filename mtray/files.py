"""Files that are whole or absent, whenever the process or the machine dies."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def sync(path: Path) -> None:
    """A file's content, or the names in a folder; some network file systems refuse the latter."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(handle)


def share(path: Path) -> None:
    """Let a file or folder be read by whom the umask says, whoever wrote it: safetensors' files are
    their owner's alone, and a run's folder is often shared."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")  # asking the umask would set it
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("Umask:"))
    path.chmod((0o777 if path.is_dir() else 0o666) & ~int(mask, 8))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write a file to, which is moved there at the end, so that a reader
    finds the old content or the new and nothing between; gone where writing fails. Two processes
    may do so at once: the later one stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        yield partial
        share(partial)
        sync(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    sync(path.parent)  # the move itself


def write_atomically(path: Path, content: bytes) -> Path:
    """A file of this content, by `replacing`."""
    with replacing(path) as partial:
        partial.write_bytes(content)
    return path
