"""Files of a Debian package, read without unpacking it: a `.deb` is an `ar` archive (deb(5)) with
the files in `data.tar.*`. Nothing is written, so no path in it can lead anywhere."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mtray.errors import DataError

AR_MAGIC, AR_END, AR_HEADER = b"!<arch>\n", b"`\n", 60  # ar(5); bytes of a member's header
COMPRESSED = ("", ".gz", ".xz", ".bz2")  # after data.tar; what Python's tarfile reads
# of a package with text: more is taken for an archive that is made to fill the memory
MOST_PACKAGE, MOST_FILE, MOST_TOTAL = 1 << 28, 1 << 24, 1 << 30  # bytes
MOST_FILES = 100_000


def package_files(path: Path, folder: str, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Name below `folder` (such as `usr/share/doc/`) and content of every plain file there whose
    name ends with `suffix`. Raises DataError for a file that is no Debian package, is cut off, or
    is larger than text is."""
    size = path.stat().st_size
    if size > MOST_PACKAGE:
        raise DataError(f"{path}: {size:,} bytes, more than {MOST_PACKAGE:,}; not read")
    with path.open("rb") as file:
        data, total = io.BytesIO(_data_member(path, file)), 0
    try:
        with tarfile.open(fileobj=data, mode="r:*") as archive:
            for count, member in enumerate(archive):
                total += member.size
                if member.size > MOST_FILE or total > MOST_TOTAL or count >= MOST_FILES:
                    raise DataError(f"{path}: unpacks to more than text does; not read")
                name = member.name.removeprefix("./")
                if member.isreg() and name.startswith(folder) and name.endswith(suffix):
                    opened = archive.extractfile(member)
                    assert opened is not None  # a plain file
                    yield name.removeprefix(folder), opened.read()
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise DataError(f"{path}: its files cannot be read: {error}") from None


def _data_member(path: Path, file: BinaryIO) -> bytes:
    """The content of data.tar.*."""
    if file.read(len(AR_MAGIC)) != AR_MAGIC:
        raise DataError(f"{path}: not a Debian package (it does not begin as an ar archive)")
    while len(header := file.read(AR_HEADER)) == AR_HEADER:
        name, size = header[:16].decode("ascii", "replace").strip(" /"), header[48:58].strip()
        if header[58:] != AR_END or not size.isdigit():
            raise DataError(f"{path}: a damaged ar archive")
        if name.startswith("data.tar"):
            if name.removeprefix("data.tar") not in COMPRESSED:
                raise DataError(
                    f"{path}: {name} cannot be read; repack it, with `dpkg-deb -R` and "
                    "`dpkg-deb -Zxz -b`"
                )
            content = file.read(int(size))
            if len(content) < int(size):
                raise DataError(f"{path}: cut off; download it again")
            return content
        file.seek(int(size) + int(size) % 2, io.SEEK_CUR)  # members begin at even places
    raise DataError(f"{path}: not a Debian package (it has no data.tar)")
