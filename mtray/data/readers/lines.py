"""Bytes to text and to lines. UTF-8, or UTF-16 with a byte-order mark; lines end with LF or CR-LF,
or all with CR."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from mtray.data.readers.byte_streams import ByteStream, open_stream
from mtray.errors import DataError

MOST_LINE = 1 << 26  # characters of one line or one value; a longer one is not text
MARKS = {
    # before UTF-16, whose mark is a prefix of this one
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF8: "UTF-8",
    codecs.BOM_UTF16_LE: "UTF-16-LE",
    codecs.BOM_UTF16_BE: "UTF-16-BE",
}


def marked(head: bytes) -> tuple[str, int]:
    """The encoding by the byte-order mark, else UTF-8, and the length of the mark."""
    return next(((e, len(m)) for m, e in MARKS.items() if head.startswith(m)), ("UTF-8", 0))


def line_end(head: bytes) -> str:
    """What ends a line, by a file's first bytes: LF (before which a CR belongs to it), or CR where
    there is no LF."""
    if b"\r" not in head:
        return "\n"
    encoding, mark = marked(head)
    text = head[mark:].decode(encoding, errors="ignore")
    # a CR at the end may be half of CR-LF
    return "\r" if "\n" not in text and "\r" in text.rstrip("\r") else "\n"


def decoded(file: ByteStream) -> Iterator[str]:
    """The text in pieces, without a byte-order mark; DataError with the line of the first invalid
    byte."""
    encoding, skipped = marked(file.head)
    if encoding == "UTF-32":
        raise DataError(f"{file.name}:1: UTF-32; convert the file to UTF-8")
    decoder = codecs.getincrementaldecoder(encoding)()
    line, end = 1, line_end(file.head)
    try:
        for chunk in file.chunks:
            cut = min(skipped, len(chunk))
            skipped -= cut
            text = decoder.decode(chunk[cut:])
            if "\0" in text:
                line += text.count(end, 0, text.index("\0"))
                raise DataError(
                    f"{file.name}:{line}: a NUL byte; the file is damaged or is not UTF-8 text "
                    "(`tr -d '\\000'` removes such bytes)"
                )
            line += text.count(end)
            yield text
        decoder.decode(b"", True)
    except UnicodeDecodeError as error:
        # bytes kept by the decoder from the last chunk are part of one character, not a line's end
        line += error.object[: error.start].count(end.encode()) if encoding == "UTF-8" else 0
        byte = error.object[error.start]
        raise DataError(
            f"{file.name}:{line}: not valid {encoding} (byte 0x{byte:02x}); convert the file to "
            "UTF-8"
        ) from None


def lines(file: ByteStream) -> Iterator[str]:
    """Lines without their LF; no other character ends a line, but CR in a file of CR alone.
    DataError where LF follows in such a file."""
    pieces: list[str] = []
    held, number, end = 0, 1, line_end(file.head)
    for text in decoded(file):
        if end == "\r" and "\n" in text:
            number += text.count(end, 0, text.index("\n"))
            raise DataError(
                f"{file.name}:{number}: a line ends with LF, and those before it with CR; convert "
                "the file to one of them"
            )
        first, *more = text.split(end)
        pieces.append(first)
        held += len(first)
        if held > MOST_LINE:
            raise DataError(f"{file.name}:{number}: a line of over {MOST_LINE:,} characters")
        if more:
            yield "".join(pieces)
            yield from more[:-1]
            pieces, held = [more[-1]], len(more[-1])
            number += len(more)
    if held:
        yield "".join(pieces)


def text_lines(file: ByteStream) -> Iterator[str]:
    """Lines without their ends: LF or CR-LF, or CR alone (`line_end`)."""
    return (line.rstrip("\r") for line in lines(file))


def read_text(path: Path) -> str:
    """The whole text of a file, without a byte-order mark."""
    with open_stream(path) as file:
        return "".join(decoded(file))


def read_lines(path: Path) -> list[str]:
    """Lines without their ends, as `text_lines`."""
    with open_stream(path) as file:
        return list(text_lines(file))
