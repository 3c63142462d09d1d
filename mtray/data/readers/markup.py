"""XML as a stream of events, safe for untrusted files.

Entity declarations (which can expand without bound) and references to external entities are
rejected. A document type that only names its DTD, as many tools write it, is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

from mtray.data.readers.byte_streams import ByteStream
from mtray.errors import DataError


class Markup:
    """Expat's events; a reader defines `start`, `end` and `characters`."""

    def __init__(self, file: ByteStream) -> None:
        self.file = file
        self.parser = expat.ParserCreate()
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
        try:
            for chunk in self.file.chunks:
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
