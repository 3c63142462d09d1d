"""A full disk: recognised, whichever library raises it, and reported with the place and with how
much was free. An OSError of a write names no file, safetensors raises a class of its own, and
tokenizers a plain Exception.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

FULL = (errno.ENOSPC, errno.EDQUOT)


class FullDisk(OSError):
    """No space is left.

    - `filename`: the file or folder that could not be written.
    - `strerror`: how much was free and how much is needed, as text for people.
    """


def is_full(error: BaseException) -> bool:
    """Whether an error says that no space is left; its causes are not looked at."""
    if isinstance(error, OSError):
        return error.errno in FULL
    named = (f"(os error {number})" for number in FULL)  # as Rust's standard library prints it
    of_rust = type(error) is Exception or type(error).__name__ == "SafetensorError"  # tokenizers
    return of_rust and any(n in str(error) for n in named)


def no_temporary(error: BaseException) -> bool:
    """Whether `tempfile`, which torch uses when it is imported, has found no folder to write to:
    all are full, or cannot be written. Its error says that a file is missing."""
    return isinstance(error, FileNotFoundError) and "No usable temporary directory" in str(error)


def size_text(size: float) -> str:
    """A number of bytes as text for people, in kB, MB or GB (powers of 1,000)."""
    if size < 1e6:
        return f"{size / 1e3:.0f} kB"
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def free_text(place: Path, partial: Path | None = None) -> str:
    """How much is free on the file system where `place` is or will be. `partial`: a file or folder
    there that will be deleted, so its bytes count as free. Raises OSError."""
    there = next(p for p in (place, *place.absolute().parents) if p.is_dir())
    found = os.statvfs(there)
    if found.f_files and not found.f_favail:
        return "no inode free, so no further file"
    return f"{size_text(found.f_bavail * found.f_frsize + _size(partial))} free"


def _size(partial: Path | None) -> int:
    if partial is None:
        return 0
    with contextlib.suppress(OSError):
        files = partial.rglob("*") if partial.is_dir() else [partial]
        return sum(file.stat().st_size for file in files if file.is_file())
    return 0


def why_full(error: BaseException, place: Path, partial: Path | None = None) -> str:
    """`free_text`; or, if the error is that of a quota, only that, since what is free on the file
    system then says nothing. Call before `partial` is deleted. Raises OSError."""
    if isinstance(error, OSError) and error.errno == errno.EDQUOT:
        return "the quota is used up"
    return free_text(place, partial)


@contextlib.contextmanager
def naming(
    place: Path, partial: Path | None = None, needs: str = "more is needed"
) -> Iterator[None]:
    """Raise FullDisk for `place` if the disk is full within, unless the error names a file that is
    neither in `place` nor in `partial`.

    - `partial`: what is written first, and deleted after an error.
    - `needs`: how much is needed, as the second half of the message's parenthesis.
    """
    try:
        yield
    except Exception as error:
        if not is_full(error) or isinstance(error, FullDisk) or _of_another(error, place, partial):
            raise
        why = f"no space left there ({why_full(error, place, partial)}, and {needs})"
        number = error.errno if isinstance(error, OSError) else errno.ENOSPC
        raise FullDisk(number, why, str(place)) from error


def _of_another(error: Exception, place: Path, partial: Path | None) -> bool:
    """Whether the error names a file outside of both folders."""
    name = getattr(error, "filename", None)
    if not isinstance(name, str | bytes):
        return False
    named = Path(os.fsdecode(name)).absolute()
    return not any(named.is_relative_to(own.absolute()) for own in (place, partial) if own)


@contextlib.contextmanager
def naming_temporary(file: IO[Any], what: str) -> Iterator[None]:
    """Raise FullDisk for the folder of temporary files (TMPDIR) if the disk is full within.

    - `file`: the open temporary file.
    - `what`: what is written to it, as the message calls it.
    """
    try:
        yield
    except OSError as error:
        if not is_full(error) or isinstance(error, FullDisk):
            raise
        folder = Path(tempfile.gettempdir())
        free = why_full(error, folder, Path(f"/proc/self/fd/{file.fileno()}"))
        why = f"no space left there for {what} ({free}; TMPDIR may name another folder)"
        raise FullDisk(error.errno, why, str(folder)) from error
