"""Files of a Debian package, read without unpacking it: a `.deb` is an `ar` archive (deb(5)) with
the files in `data.tar.*`. Nothing is written, so no path in it can lead anywhere."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mtray.errors import DataError

AR_MAGIC, AR_END, AR_HEADER = b"!<arch>\n", b"`\n", 60  # ar(5); bytes of a member's header
# by what follows data.tar: what opens it
OPENERS: dict[str, Callable[[Any], Any]] = {
    "": lambda file: file,
    ".gz": gzip.open,
    ".xz": lzma.open,
    ".bz2": bz2.open,
}
DAMAGED = (tarfile.TarError, EOFError, OSError, ValueError, lzma.LZMAError, zlib.error)
# of a package with text: more is taken for an archive that is made to fill the memory
MOST_PACKAGE, MOST_FILE, MOST_TOTAL = 1 << 28, 1 << 24, 1 << 30  # bytes
MOST_FILES = 100_000
BLOCK = 1 << 20  # bytes that are unpacked at once


def package_files(path: Path, folder: str, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Name below `folder` (such as `usr/share/doc/`) and content of every plain file there whose
    name ends with `suffix`. Raises DataError for a file that is no Debian package, is cut off, or
    is larger than text is."""
    size = path.stat().st_size
    if size > MOST_PACKAGE:
        raise DataError(f"{path}: {size:,} bytes, more than {MOST_PACKAGE:,}; not read")
    with path.open("rb") as file:
        form, packed = _data_member(path, file)
    total = 0
    try:
        # unpacked within limits first: tarfile reads a long header whole before its size is seen
        data = io.BytesIO(_unpacked(path, form, packed))
        with tarfile.open(fileobj=data, mode="r:") as archive:
            for count, member in enumerate(archive):
                total += member.size
                if member.size > MOST_FILE or total > MOST_TOTAL or count >= MOST_FILES:
                    raise _too_large(path)
                name = member.name.removeprefix("./")
                if member.isreg() and name.startswith(folder) and name.endswith(suffix):
                    opened = archive.extractfile(member)
                    assert opened is not None  # a plain file
                    yield name.removeprefix(folder), opened.read()
    except DataError:  # a ValueError as well
        raise
    except DAMAGED as error:
        raise DataError(f"{path}: its files cannot be read: {error}; download it again") from None


def _too_large(path: Path) -> DataError:
    return DataError(f"{path}: unpacks to more than text does; not read")


def _unpacked(path: Path, form: str, packed: bytes) -> bytes:
    """The tar archive, whose checksum has been compared. DataError if it is too large."""
    out = bytearray()
    with OPENERS[form](io.BytesIO(packed)) as file:
        while block := file.read(BLOCK):
            out += block
            if len(out) > MOST_TOTAL:
                raise _too_large(path)
    return bytes(out)


def _data_member(path: Path, file: BinaryIO) -> tuple[str, bytes]:
    """What follows `data.tar` in the name of that member, and its content."""
    if file.read(len(AR_MAGIC)) != AR_MAGIC:
        raise DataError(f"{path}: not a Debian package (it does not begin as an ar archive)")
    while len(header := file.read(AR_HEADER)) == AR_HEADER:
        name, size = header[:16].decode("ascii", "replace").strip(" /"), header[48:58].strip()
        if header[58:] != AR_END or not size.isdigit():
            raise DataError(f"{path}: a damaged ar archive")
        if name.startswith("data.tar"):
            form = name.removeprefix("data.tar")
            if form not in OPENERS:
                raise DataError(
                    f"{path}: {name} cannot be read; repack it, with `dpkg-deb -R` and "
                    "`dpkg-deb -Zxz -b`"
                )
            content = file.read(min(int(size), MOST_PACKAGE))
            if len(content) < int(size):
                raise DataError(f"{path}: cut off; download it again")
            return form, content
        file.seek(int(size) + int(size) % 2, io.SEEK_CUR)  # members begin at even places
    raise DataError(f"{path}: not a Debian package (it has no data.tar)")
