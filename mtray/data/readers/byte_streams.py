"""Files as streams of bytes, plain or compressed (gz, zst, xz, bz2, zip).

The type of a file is detected from its first bytes; a suffix that contradicts it is an error. A
member of a zip archive is addressed like a file in a folder (`corpus.zip/train.de`). Nothing is
ever unpacked under a name from an archive. An archive that expands to far more than its size is
rejected.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import IO, Any

from mtray.data.readers.git_lfs import refuse_pointer
from mtray.data.readers.remarks import Remarks, current
from mtray.errors import DataError
from mtray.git_lfs import MOST_BYTES as POINTER_BYTES

CHUNK = 1 << 16
HEAD = 1 << 16  # bytes used for type detection
# limits on decompressed content: its size in bytes and, from the second number of bytes on, its
# ratio to the compressed size (text compresses 3 to 10 times, repetitive lines up to 100 times, a
# decompression bomb 1000 times and more)
MOST_BYTES, LEAST_SUSPECT, MOST_RATIO = 1 << 37, 1 << 24, 250
XZ_MEMORY = 1 << 28  # bytes; `xz -9` asks for 65 MiB, a hostile file may ask for 4 GiB
SUFFIXES = {".gz": "gz", ".zst": "zst", ".zstd": "zst", ".xz": "xz", ".bz2": "bz2", ".zip": "zip"}
MAGIC = {
    b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst", b"\xfd7zXZ\x00": "xz", b"BZh": "bz2",
    b"PK\x03\x04": "zip", b"PK\x05\x06": "zip",
    # a frame without content, with which pzstd and others begin (RFC 8878, 3.1.2)
    **{bytes([low, 0x2A, 0x4D, 0x18]): "zst" for low in range(0x50, 0x60)},
}  # fmt: skip
TAR = slice(257, 262)  # position of the magic bytes in a tar archive
BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError,
    NotImplementedError,
)  # fmt: skip


@dataclass(frozen=True)
class ByteStream:
    """Bytes that can be read once.

    - `name`: for messages.
    - `file`: the name whose suffix gives the format.
    - `head`: the first bytes, which `chunks` yields as well.
    - `plain`: the file on disk when it holds exactly these bytes.
    - `remarks`: what its readers leave out is counted here.
    """

    name: str
    file: str
    head: bytes
    chunks: Iterator[bytes]
    plain: Path | None = None
    remarks: Remarks = field(default_factory=current)


def located(path: Path) -> tuple[Path, str | None]:
    """The file, and the member where the path leads into a zip archive. DataError when it does not
    exist."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder; expected a file")
    if path.is_file():
        return path, None
    for folder in path.parents:
        if folder.is_file() and zipfile.is_zipfile(folder):
            return folder, path.relative_to(folder).as_posix()
    raise DataError(f"{path}: no such file")


def is_there(path: Path) -> bool:
    """Whether the file exists, or an archive that the path leads into."""
    return path.is_file() or any(folder.is_file() for folder in path.parents)


@contextmanager
def open_stream(path: Path, remarks: Remarks | None = None) -> Iterator[ByteStream]:
    """The bytes of a file or a member as a stream. DataError with the current line, here or while
    reading, when they are missing, damaged or expand too far."""
    remarks = current() if remarks is None else remarks
    place, member = located(path)
    with ExitStack() as stack:
        with _reading(place):
            raw: Any = stack.enter_context(place.open("rb"))
            size, beginning = place.stat().st_size, raw.peek(POINTER_BYTES)
        name, file = str(place), place.name
        refuse_pointer(place, beginning)
        kind = _compression(raw, file, name)
        if kind == "zip":
            archive, info = _member(raw, place, member, stack)
            raw = stack.enter_context(_entered(archive, info, name))
            name, file, size = f"{place}/{info.filename}", info.filename, info.compress_size
            inner = _compression(raw, file, name)
            refuse_pointer(place, raw.peek(POINTER_BYTES), info.filename)
            if inner == "zip":
                raise DataError(f"{name}: is an archive within an archive; unpack the outer one")
            chunks = _unpacked(raw, inner, name)
            kind = f"{inner} in a zip" if inner else kind
        else:
            chunks = _unpacked(raw, kind, name) if kind else _plain(raw, place)
        if kind:
            chunks = _counted(chunks, size, name, kind)
        first: list[bytes] = []
        length = 0
        while length < HEAD and (chunk := next(chunks, b"")):
            first.append(chunk)
            length += len(chunk)
        head = b"".join(first)
        if head[TAR] == b"ustar":
            raise DataError(f"{name}: a tar archive; unpack it")
        plain = None if kind else place
        yield ByteStream(name, _without(file), head, chain(first, chunks), plain, remarks)


def _without(file: str) -> str:
    """A file's name without its compression suffix."""
    stem, dot, suffix = file.rpartition(".")
    return stem if f"{dot}{suffix.lower()}" in SUFFIXES else file


def _compression(stream: Any, file: str, name: str) -> str | None:
    """The compression detected from the first bytes; DataError when the suffix contradicts it."""
    try:
        head = stream.peek(8)[:8]
    except BROKEN as error:
        raise DataError(f"{name}: not readable: {error}") from None
    found = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None)
    said = SUFFIXES.get(Path(file).suffix.lower())
    if said and found != said:
        raise DataError(
            f"{name}: not a readable {said} archive: its first bytes are not those of one"
        )
    return found


def _member(
    raw: IO[bytes], place: Path, member: str | None, stack: ExitStack
) -> tuple[zipfile.ZipFile, zipfile.ZipInfo]:
    """The named member, else the only one, or the only one of a known format."""
    from mtray.data.readers.suffixes import TABLE_SUFFIXES as KNOWN

    try:
        archive = stack.enter_context(zipfile.ZipFile(raw))
    except BROKEN as error:
        raise DataError(f"{place}: not a readable zip archive: {error}") from None
    # macOS adds a folder of metadata
    files = [i for i in archive.infolist() if not i.is_dir() and "__MACOSX/" not in i.filename]
    wanted = [i for i in files if PurePosixPath(i.filename) == PurePosixPath(member or i.filename)]
    if len(wanted) > 1 and not member:
        known = [i for i in files if Path(_without(i.filename)).suffix.lower() in KNOWN]
        wanted = known or files
    if len(wanted) != 1:
        what = f"a member {member!r}" if member else "one file"
        names = ", ".join(i.filename for i in files[:8]) or "nothing"
        raise DataError(
            f"{place}: expected {what} in the archive, found {len(wanted)}; it contains {names}; "
            f"name one: {place.name}/MEMBER"
        )
    if stat.S_ISLNK(wanted[0].external_attr >> 16):
        raise DataError(f"{place}: {wanted[0].filename} is a link, which is refused")
    return archive, wanted[0]


def _entered(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> IO[bytes]:
    try:
        return archive.open(info)
    except BROKEN as error:  # encrypted, or a method that Python does not support
        raise DataError(f"{name}: not a readable zip archive: {error}") from None


def _unpacked(raw: Any, kind: str | None, name: str) -> Iterator[bytes]:
    if kind == "xz":
        return _xz(raw)
    if kind == "gz":
        return _chunks(gzip.GzipFile(fileobj=raw))
    if kind == "bz2":
        return _chunks(bz2.BZ2File(raw))
    if kind == "zst":
        import pyarrow as pa

        return _chunks(pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd"))
    return _chunks(raw)


@contextmanager
def _reading(place: Path) -> Iterator[None]:
    """An error of the disk, or of a network file system, is a DataError with the file's name."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{place}: cannot be read: {error.strerror or error}") from None


def _plain(raw: Any, place: Path) -> Iterator[bytes]:
    with _reading(place):
        yield from _chunks(raw)


def _chunks(stream: Any) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def _xz(raw: IO[bytes]) -> Iterator[bytes]:
    """`lzma.LZMAFile` cannot limit memory."""
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
    rest = b""
    while True:
        if decoder.eof:  # another stream may follow, or zero padding
            rest = decoder.unused_data.lstrip(b"\0") or raw.read(CHUNK).lstrip(b"\0")
            if not rest:
                return
            decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
        elif decoder.needs_input and not rest:
            rest = raw.read(CHUNK)
            if not rest:
                raise EOFError("it is truncated")
        found, rest = decoder.decompress(rest, CHUNK), b""
        if found:
            yield found


def _counted(chunks: Iterator[bytes], size: int, name: str, kind: str) -> Iterator[bytes]:
    """The decompressed content, counted while it expands: the size that an archive declares may be
    false."""
    seen, line = 0, 1
    while True:
        try:
            chunk = next(chunks, b"")
        except BROKEN as error:
            raise DataError(f"{name}:{line}: not a readable {kind} archive: {error}") from None
        seen += len(chunk)
        suspect = seen > LEAST_SUSPECT and seen > MOST_RATIO * size
        if seen > MOST_BYTES or suspect:
            limit = f"{MOST_RATIO} times as many" if suspect else f"{MOST_BYTES:,}"
            raise DataError(
                f"{name}:{line}: {size:,} bytes expand to over {seen:,}; refused: the limit is "
                f"{limit} (unpack it yourself if you trust it)"
            )
        line += chunk.count(b"\n")
        if not chunk:
            return
        yield chunk
