"""TMX (translation memories), read as a stream. Unsafe XML is rejected
(`mtray.data.readers.markup`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mtray.data.readers.byte_streams import ByteStream
from mtray.data.readers.lines import MOST_LINE
from mtray.data.readers.markup import Markup, collapsed_lines
from mtray.errors import DataError

DOCUMENT = "document"  # the column of a unit's document; all other columns are languages
# elements of a segment whose content is markup of the original format, not text
CODES = {"bpt", "ept", "it", "ph", "ut"}
# codes that stand for a line break, by their type (TMX 1.4b, 4.3: line, page and column break)
BREAK_TYPES = {"lb", "pb", "cb", "br"}
# or by their content: a tag of HTML or of office formats, or an escape of C or RTF
BREAK_CONTENT = re.compile(
    r"\s*(?:</?\s*(?:\w+:)?(?:br|cr|lb|p|div|li|tr)\d*\b|\\(?:n|r|line|par|page)\b)|\s*\n\s*$",
    re.IGNORECASE,
)
# those that stand for other white space
SPACE_CONTENT = re.compile(r"\s*(?:</?\s*(?:\w+:)?(?:tab|td)\b|\\(?:t|tab)\b|$)", re.IGNORECASE)
FURTHER = (
    "further texts in {!r} of a unit, of which the first is read (another variety by its own code, "
    "such as pt-br)"
)
# `CMU_1:12` is sentence 12 of document `CMU_1` (TICO-19)
SENTENCE_ID = re.compile(r"(.+):\d+")


@dataclass
class Unit:
    """One translation unit: its first line in the file, its id (may be empty), its first text by
    lower-case language code, and how many further ones it has by that code."""

    line: int
    id: str
    texts: dict[str, str] = field(default_factory=dict)
    further: dict[str, int] = field(default_factory=dict)

    @property
    def document(self) -> str:
        """The part before the number of an id such as `CMU_1:12`; otherwise the unit is a document
        of its own."""
        found = SENTENCE_ID.fullmatch(self.id)
        return found[1] if found else f"unit at line {self.line}"

    def text(self, language: str) -> str:
        """The text in a language; if there is none, in a regional variety (`pt-BR` for `pt`). Empty
        when there is neither."""
        if language in self.texts:
            return self.texts[language]
        varieties = self._codes(language)
        return self.texts[varieties[0]] if varieties else ""

    def add(self, language: str, text: str) -> None:
        """A text, of which only the first in a language is kept."""
        if language in self.texts:
            self.further[language] = self.further.get(language, 0) + 1
        self.texts.setdefault(language, text)

    def unread(self, language: str) -> int:
        """How many texts in a language and its regional varieties `text` leaves out."""
        codes = self._codes(language)
        return max(0, len(codes) - 1) + sum(self.further.get(code, 0) for code in codes)

    def _codes(self, language: str) -> list[str]:
        return [code for code in self.texts if language in (code, re.split("[-_]", code)[0])]


class _Reader(Markup):
    """Collects expat's events into units; the last one may be incomplete."""

    def __init__(self, file: ByteStream) -> None:
        super().__init__(file)
        self.units: list[Unit] = []
        self._root: str | None = None
        self._language: str | None = None
        self._text: list[str] | None = None
        self._length = 0
        self._codes = 0  # how deep within codes
        self._is_break = False  # the outermost code, by its type
        self._code: list[str] = []  # its content

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self._root is None and name != "tmx":
            raise self.wrong(f"not TMX: the first element is <{name}>")
        self._root = "tmx"
        if name == "tu":
            self.units.append(Unit(self.line, attributes.get("tuid", "").strip()))
        elif name == "tuv":
            if not self.units:
                raise self.wrong("<tuv> outside of <tu>")
            found = attributes.get("xml:lang", attributes.get("lang", "")).strip().lower()
            if not found:
                raise self.wrong("<tuv> without xml:lang")
            self._language = found
        elif name == "seg":
            self._text, self._length, self._codes = [], 0, 0
        elif name in CODES:
            if not self._codes:
                kind = attributes.get("type", "").strip().lower().removeprefix("x-")
                self._is_break, self._code = kind in BREAK_TYPES, []
            self._codes += 1

    def end(self, name: str) -> None:
        if name in CODES:
            self._codes -= 1
            self._end_code()
        elif name == "tuv":
            self._language = None
        elif name == "seg" and self._language and self._text is not None:
            self.units[-1].add(self._language, collapsed_lines("".join(self._text)))
            self._text = None

    def _end_code(self) -> None:
        """A code that stands for white space divides the words around it, or begins a line."""
        if self._text is None or self._codes:
            return
        content = "".join(self._code)
        if self._is_break or BREAK_CONTENT.match(content):
            self._text.append("\n")
        elif content and SPACE_CONTENT.match(content):
            self._text.append(" ")

    def characters(self, text: str) -> None:
        if self._text is not None:
            (self._code if self._codes else self._text).append(text)
            self._length += len(text)
            if self._length > MOST_LINE:
                raise self.wrong(f"a segment of over {MOST_LINE:,} characters")


def units(file: ByteStream) -> Iterator[Unit]:
    """Every unit of a TMX file. DataError with file and line when it is damaged, not TMX or
    unsafe."""
    reader = _Reader(file)
    for _ in reader.run():
        yield from reader.units[:-1]
        del reader.units[:-1]
    yield from reader.units


def read_tmx(file: ByteStream, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """A row for each unit: its text in every language of `columns`, empty where it has none, and
    its document under `document`. DataError at the end when no unit has one of the languages."""
    there: set[str] = set()
    named = {column.lower() for column in columns}
    for unit in units(file):
        there.update(unit.texts)
        for column in columns if unit.further or unit.texts.keys() - named else ():
            if count := unit.unread(column.lower()):
                file.remarks.count(file.name, FURTHER.format(column), count)
        yield {c: unit.document if c == DOCUMENT else unit.text(c.lower()) for c in columns}
    known = {DOCUMENT, *there, *(re.split("[-_]", code)[0] for code in there)}
    for language in columns:
        if language.lower() not in known:
            raise DataError(
                f"{file.name}: no unit in {language!r}; languages there: "
                f"{', '.join(sorted(there)) or 'none'}"
            )
