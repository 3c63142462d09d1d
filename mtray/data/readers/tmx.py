"""TMX (translation memories), read as a stream. Unsafe XML is rejected
(`mtray.data.readers.markup`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mtray.data.readers.byte_streams import ByteStream
from mtray.data.readers.lines import MOST_LINE
from mtray.data.readers.markup import Markup
from mtray.errors import DataError

DOCUMENT = "document"  # the column of a unit's document; all other columns are languages
# elements of a segment whose content is markup of the original format, not text
CODES = {"bpt", "ept", "it", "ph", "ut"}
# `CMU_1:12` is sentence 12 of document `CMU_1` (TICO-19)
SENTENCE_ID = re.compile(r"(.+):\d+")


@dataclass
class Unit:
    """One translation unit: its first line in the file, its id (may be empty) and its text by
    lower-case language code."""

    line: int
    id: str
    texts: dict[str, str] = field(default_factory=dict)

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
        varieties = [t for code, t in self.texts.items() if re.split("[-_]", code)[0] == language]
        return varieties[0] if varieties else ""


class _Reader(Markup):
    """Collects expat's events into units; the last one may be incomplete."""

    def __init__(self, file: ByteStream) -> None:
        super().__init__(file)
        self.units: list[Unit] = []
        self._root: str | None = None
        self._language: str | None = None
        self._text: list[str] | None = None
        self._length = 0
        self._codes = 0

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
            self._codes += 1

    def end(self, name: str) -> None:
        if name in CODES:
            self._codes -= 1
        elif name == "tuv":
            self._language = None
        elif name == "seg" and self._language and self._text is not None:
            self.units[-1].texts.setdefault(self._language, " ".join("".join(self._text).split()))
            self._text = None

    def characters(self, text: str) -> None:
        if self._text is not None and not self._codes:
            self._text.append(text)
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
    for unit in units(file):
        there.update(unit.texts)
        yield {c: unit.document if c == DOCUMENT else unit.text(c.lower()) for c in columns}
    known = {DOCUMENT, *there, *(re.split("[-_]", code)[0] for code in there)}
    for language in columns:
        if language.lower() not in known:
            raise DataError(
                f"{file.name}: no unit in {language!r}; languages there: "
                f"{', '.join(sorted(there)) or 'none'}"
            )
