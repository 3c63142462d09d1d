"""Standard output and standard error of both entry points, whatever they are connected to. Imports
no third-party package.

    no control characters     of records, names and data on a terminal: they are shown as `\\x1b`
    no UnicodeEncodeError     a console that lacks a character (LANG=C) shows its escape
    no end by a closed pipe   where the process `goes_on`: a sweep outlives `| head`
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import sys
from collections.abc import Iterator
from math import isfinite
from typing import Any, TextIO, cast

# C0 without tab and line feed, DEL, and C1, which some terminals obey like escape sequences
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# the reader of a pipe has gone; a terminal has gone
GONE = (errno.EPIPE, errno.EIO)
CLOSED = (
    "standard output is closed ({}); the sweep goes on, and `python -m mtray status RUN` shows it"
)


def printable(text: str) -> str:
    """The text with control characters as escapes, so that a terminal does not obey them."""
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


class _Wrapped:
    """A text stream that passes everything on to another one."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        return self.stream.write(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)


class PrintableStream(_Wrapped):
    """Shows control characters as escapes. Rich writes past it, to `rich_proxied_file`, since it
    adds escape sequences of its own (`mtray.report.console` escapes its text)."""

    @property
    def rich_proxied_file(self) -> TextIO:
        return self.stream

    def write(self, text: str) -> int:
        self.stream.write(printable(text))
        return len(text)


class LastingStream(_Wrapped):
    """Drops what is written once the other end is closed, and says so once by `said`."""

    def __init__(self, stream: TextIO, said: str = "") -> None:
        super().__init__(stream)
        self._said = said

    def write(self, text: str) -> int:
        with self._lasting():
            self.stream.write(text)
            self.stream.flush()
        return len(text)

    def flush(self) -> None:
        with self._lasting():
            self.stream.flush()

    @contextlib.contextmanager
    def _lasting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in GONE:
                raise
            discard(self.stream)
            if self._said:
                print(self._said.format(error.strerror), file=sys.stderr, flush=True)


def discard(stream: TextIO) -> None:
    """Connect a stream whose other end is closed with the null device, also what it has buffered,
    which Python writes when it ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


@contextlib.contextmanager
def entry_streams(goes_on: bool = False) -> Iterator[None]:
    """Standard output and error as described above, within an entry point."""
    before = sys.stdout, sys.stderr
    out, err = _encodable(sys.stdout), _encodable(sys.stderr)
    if goes_on:
        out, err = cast(TextIO, LastingStream(out, CLOSED)), cast(TextIO, LastingStream(err))
    sys.stdout, sys.stderr = cast(TextIO, PrintableStream(out)), err
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _encodable(stream: TextIO | None) -> TextIO:
    """The stream, which now takes any character; the null device if it was closed from the
    start."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None and stream.errors in ("strict", "surrogateescape"):
        reconfigure(errors="backslashreplace")
    return stream


def is_unicode(stream: TextIO) -> bool:
    """Whether the stream takes every character as it is."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")


def json_text(value: Any, stream: TextIO) -> str:
    """JSON to print on the stream. What it cannot show as it is, is an escape of JSON; NaN and
    infinity, which JSON does not have, are null."""
    finite = finite_or_null(value)
    text = json.dumps(finite, indent=1, ensure_ascii=not is_unicode(stream), allow_nan=False)
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def finite_or_null(value: Any) -> Any:
    """The value of JSON with None in the place of NaN and infinity."""
    if isinstance(value, dict):
        return {key: finite_or_null(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_null(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value
