"""TMX (translation memories), plain or alone in a zip archive, read as a stream.

What a file of unknown origin could do is refused: entities that a file declares (which can grow
without bound), references to anything outside of it, and archives that expand too far. A document
type that only names its DTD, as many tools write it, is not followed.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from xml.parsers import expat

from mtray.errors import DataError

DOCUMENT = "document"  # the column of a unit's document; every other column is a language
CHUNK = 1 << 20
# an archive's content: at most so many bytes, and once it is over the second number at most so many
# times the archive's size (text compresses 3 to 10 times, a bomb 1000 times)
MOST_BYTES, LEAST_SUSPECT, MOST_RATIO = 1 << 31, 1 << 24, 100
# elements of a segment whose content is mark-up of the original format, not text
CODES = {"bpt", "ept", "it", "ph", "ut"}
# `CMU_1:12` is sentence 12 of document `CMU_1` (TICO-19)
SENTENCE_ID = re.compile(r"(.+):\d+")


@dataclass
class Unit:
    """One translation unit: its first line in the file, its id (may be empty) and its text by
    language code, in lower case."""

    line: int
    id: str
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def document(self) -> str:
        """What stands before the number of an id such as `CMU_1:12`; else the unit is a document
        of its own."""
        found = SENTENCE_ID.fullmatch(self.id)
        return found[1] if found else f"unit at line {self.line}"

    def text(self, language: str) -> str:
        """The text in a language; a regional variety (`pt-BR` for `pt`) where there is nothing
        else. Empty when there is none."""
        if language in self.texts:
            return self.texts[language]
        varieties = [t for code, t in self.texts.items() if re.split("[-_]", code)[0] == language]
        return varieties[0] if varieties else ""


class _Reader:
    """Expat's events, gathered into units."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.units: list[Unit] = []
        self._root: str | None = None
        self._language: str | None = None
        self._text: list[str] | None = None
        self._codes = 0
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.EntityDeclHandler = self._refuse
        self.parser.ExternalEntityRefHandler = self._refuse
        self.parser.SkippedEntityHandler = self._refuse
        self.parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)

    @property
    def line(self) -> int:
        return self.parser.CurrentLineNumber

    def _refuse(self, *_: Any) -> int:
        raise DataError(f"{self.path}:{self.line}: declares or refers to an entity; refused")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._root is None and name != "tmx":
            raise DataError(f"{self.path}:{self.line}: not TMX: the first element is <{name}>")
        self._root = "tmx"
        if name == "tu":
            self.units.append(Unit(self.line, attributes.get("tuid", "").strip()))
        elif name == "tuv":
            if not self.units:
                raise DataError(f"{self.path}:{self.line}: <tuv> outside of <tu>")
            found = attributes.get("xml:lang", attributes.get("lang", "")).strip().lower()
            if not found:
                raise DataError(f"{self.path}:{self.line}: <tuv> without xml:lang")
            self._language = found
        elif name == "seg":
            self._text, self._codes = [], 0
        elif name in CODES:
            self._codes += 1

    def _end(self, name: str) -> None:
        if name in CODES:
            self._codes -= 1
        elif name == "tuv":
            self._language = None
        elif name == "seg" and self._language and self._text is not None:
            self.units[-1].texts.setdefault(self._language, " ".join("".join(self._text).split()))
            self._text = None

    def _characters(self, text: str) -> None:
        if self._text is not None and not self._codes:
            self._text.append(text)


def read_units(path: Path) -> list[Unit]:
    """Every unit of a TMX file, or of the only one in a zip archive. DataError with file and line
    when it is missing, damaged, not TMX or not safe to read."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    reader = _Reader(path)
    try:
        for chunk in _zipped(path) if path.suffix == ".zip" else _plain(path):
            reader.parser.Parse(chunk, False)
        reader.parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise DataError(
            f"{path}:{error.lineno}: not XML: {expat.ErrorString(error.code)}"
        ) from None
    return reader.units


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def _plain(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        yield from _chunks(stream)


def _zipped(path: Path) -> Iterator[bytes]:
    """What is in the archive as it expands, counted on the way: the size that it declares may be a
    lie."""
    seen, archived = 0, path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.lower().endswith(".tmx")]
            if len(names) != 1:
                raise DataError(
                    f"{path}: expected one .tmx in the archive, found {len(names)}; "
                    f"it holds {', '.join(archive.namelist()[:8]) or 'nothing'}"
                )
            with archive.open(names[0]) as stream:
                for chunk in _chunks(stream):
                    seen += len(chunk)
                    if seen > MOST_BYTES or (seen > LEAST_SUSPECT and seen > MOST_RATIO * archived):
                        raise DataError(
                            f"{path}: {archived:,} bytes expand to over {seen:,}; refused"
                        )
                    yield chunk
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
        raise DataError(f"{path}: not a readable zip archive: {error}") from None


def read_tmx(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """A row for each unit: its text in every language of `columns`, empty where it has none, and
    its document under `document`. DataError when no unit has one of the languages."""
    units = read_units(path)
    rows = [
        {c: unit.document if c == DOCUMENT else unit.text(c) for c in columns} for unit in units
    ]
    for language in columns:
        if not any(row[language] for row in rows):
            there = sorted({code for unit in units for code in unit.texts})
            raise DataError(
                f"{path}: no unit in {language!r}; languages there: {', '.join(there) or 'none'}"
            )
    return rows
