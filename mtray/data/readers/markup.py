"""XML as a stream of events, safe for untrusted files.

Entity declarations (which can expand without bound) and references to external entities are
rejected. A document type that only names its DTD, as many tools write it, is ignored. Characters
that XML forbids are left out and counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

from mtray.data.readers.byte_streams import ByteStream
from mtray.data.readers.lines import decoded, marked
from mtray.data.readers.xml_characters import Cleaner
from mtray.errors import DataError

# the white space of XML, which may be due to how a file is written; no-break and ideographic spaces
# are text, as in every other format
SPACE = re.compile("[ \t\r\n]+")


def collapsed_lines(text: str) -> str:
    """`collapsed` of every line, without blank lines before and after the text."""
    if "\n" not in text:
        return collapsed(text)
    return "\n".join(map(collapsed, text.split("\n"))).strip("\n")


def collapsed(text: str) -> str:
    """The text with every run of XML's white space as one space, and none around it."""
    if text.isascii():  # faster, and the same where XML allows the characters
        return " ".join(text.split())
    return SPACE.sub(" ", text).strip(" ")


class Markup:
    """Expat's events; a reader defines `start`, `end` and `characters`."""

    def __init__(self, file: ByteStream) -> None:
        self.file = file
        self._is_utf16 = marked(file.head)[0].startswith("UTF-16")
        # what UTF-16 declares is replaced: it is decoded before
        self.parser = expat.ParserCreate("UTF-8" if self._is_utf16 else None)
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters
        self.parser.EntityDeclHandler = self._refuse
        self.parser.ExternalEntityRefHandler = self._refuse
        self.parser.SkippedEntityHandler = self._refuse
        self.parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        raise NotImplementedError

    def end(self, name: str) -> None:
        raise NotImplementedError

    def characters(self, text: str) -> None:
        raise NotImplementedError

    @property
    def line(self) -> int:
        return self.parser.CurrentLineNumber

    def wrong(self, what: str) -> DataError:
        return DataError(f"{self.file.name}:{self.line}: {what}")

    def _refuse(self, *_: Any) -> int:
        raise self.wrong("declares or refers to an entity; refused")

    def run(self) -> Iterator[None]:
        """Read the file, yielding after every piece so that results can be passed on."""
        cleaner = Cleaner()
        # UTF-16 without a mark is left to expat
        bare = self.file.head[:2] in (b"<\0", b"\0<")
        try:
            for chunk in self.file.chunks if bare else cleaner.chunks(self._chunks()):
                self.parser.Parse(chunk, False)
                yield
            self.parser.Parse(b"", True)
            yield
        except expat.ExpatError as error:
            raise DataError(
                f"{self.file.name}:{error.lineno}: not XML: {expat.ErrorString(error.code)}"
            ) from None
        except DataError:
            raise
        except (ValueError, LookupError) as error:  # an encoding that Python does not support
            raise self.wrong(f"not XML that Python reads: {error}") from None
        self.file.remarks.count(
            self.file.name,
            f"characters that XML forbids, which are left out (the first in line {cleaner.first})",
            cleaner.count,
        )

    def _chunks(self) -> Iterator[bytes]:
        if self._is_utf16:
            return (text.encode() for text in decoded(self.file))
        return self.file.chunks
