"""Characters that XML 1.0 forbids (https://www.w3.org/TR/xml/#charsets), which many tools write all
the same: control characters, U+FFFE and U+FFFF, and halves of characters, as themselves or as
`&#x1F;`. A reader of XML stops at the first of them, so they are taken out beforehand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

# as bytes of UTF-8; a NUL byte stays: it means that the file is none
CHARACTER = re.compile(
    rb"[\x01-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]|&#(x[0-9a-f]{1,8}|[0-9]{1,10});",
    re.IGNORECASE,
)
LONGEST = 14  # bytes that one match may have


def is_allowed(code: int) -> bool:
    """Whether a code point is a character of XML."""
    return (
        code in (0x9, 0xA, 0xD)
        or 0x20 <= code <= 0xD7FF
        or 0xE000 <= code <= 0xFFFD
        or 0x10000 <= code <= 0x10FFFF
    )


class Cleaner:
    """Takes the forbidden characters out; those that are white space (line tabulation, form feed,
    separators) become a space. `count`: how many; `first`: the line of the first one."""

    def __init__(self) -> None:
        self.count = self.first = 0
        self._line = 1

    def chunks(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same text; pieces may have other lengths."""
        kept = b""
        for chunk in chunks:
            text = kept + chunk
            cut = _whole(text)
            kept = text[cut:]
            yield self._cleaned(text[:cut])
        yield self._cleaned(kept)

    def _cleaned(self, text: bytes) -> bytes:
        out = CHARACTER.sub(self._instead, text)
        self._line += text.count(b"\n")
        return out

    def _instead(self, found: re.Match[bytes]) -> bytes:
        code = _code(found)
        if is_allowed(code):
            return found[0]
        self.count += 1
        if not self.first:
            self.first = self._line + found.string.count(b"\n", 0, found.start())
        return b" " if code < 0x20 and chr(code).isspace() else b""


def _code(found: re.Match[bytes]) -> int:
    if (number := found[1]) is None:
        return ord(found[0].decode())
    digits = number.decode().lower()
    return int(digits[1:], 16) if digits.startswith("x") else int(digits)


def _whole(text: bytes) -> int:
    """Where a piece may be cut without dividing a match."""
    start = text.rfind(b"&", max(0, len(text) - LONGEST))
    if start >= 0 and b";" not in text[start:]:
        return start
    return next((len(text) - n for n in (2, 1) if text.endswith(b"\xef\xbf"[:n])), len(text))
