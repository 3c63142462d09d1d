"""WMT's files of segments within documents: SGM (a file for each side, until 2020) and XML (all in
one file, since 2021)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import unescape

from mtray.data.readers.byte_streams import ByteStream
from mtray.data.readers.lines import MOST_LINE, text_lines
from mtray.data.readers.markup import Markup, collapsed, collapsed_lines
from mtray.errors import DataError

DOCUMENT = "document"
FURTHER = "further references of a document, of which the first is read"
TAG = re.compile(r"<(/?)(doc|seg|!entity)\b([^>]*)>", re.IGNORECASE)
# the five entities of XML and numeric character references; any other `&` is text
ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9a-f]{1,6});", re.IGNORECASE)


@dataclass(frozen=True)
class Segment:
    """A segment of one side; `id` is empty where the file has none."""

    line: int
    document: str
    id: str
    text: str


def _attribute(attributes: str, name: str) -> str:
    found = re.search(rf"\b{name}\s*=\s*(\"([^\"]*)\"|'([^']*)')", attributes, re.IGNORECASE)
    return (found[2] or found[3] or "").strip() if found else ""


def _plain(pieces: Sequence[str]) -> str:
    return collapsed(ENTITY.sub(lambda found: unescape(found[0]), " ".join(pieces)))


class _Sgm:
    """The tags of an SGM file in sequence. SGM is not XML: tags may be left open."""

    def __init__(self, file: ByteStream) -> None:
        self.file = file
        self.document, self.id = "", ""
        self.done: set[str] = set()  # earlier documents
        self.open: int | None = None  # line of the open segment
        self.pieces: list[str] = []

    def wrong(self, line: int, what: str) -> DataError:
        return DataError(f"{self.file.name}:{line}: {what}")

    def segments(self) -> Iterator[Segment]:
        for number, line in enumerate(text_lines(self.file), 1):
            at = 0
            for tag in TAG.finditer(line):
                if self.open is not None:
                    self.pieces.append(line[at : tag.start()])
                at = tag.end()
                yield from self._tag(number, tag[1] + tag[2].lower(), tag[3])
            if self.open is not None:
                self.pieces.append(line[at:])
                if sum(map(len, self.pieces)) > MOST_LINE:
                    raise self.wrong(self.open, f"a segment of over {MOST_LINE:,} characters")
        if self.open is not None:
            raise self.wrong(self.open, "<seg> is never closed")

    def _tag(self, line: int, name: str, attributes: str) -> Iterator[Segment]:
        if name == "!entity":
            raise self.wrong(line, "declares an entity; refused")
        if self.open is not None and name != "/seg":
            raise self.wrong(line, f"<{name}> within the <seg> of line {self.open}")
        if name == "doc":
            self.document = _attribute(attributes, "docid")
            if self.document in self.done:
                raise self.wrong(
                    line, f"document {self.document!r} for the second time; one reference is needed"
                )
            self.done.add(self.document)
        elif name == "seg":
            self.open, self.id, self.pieces = line, _attribute(attributes, "id"), []
        elif name == "/seg":
            if self.open is None:
                raise self.wrong(line, "</seg> without <seg>")
            yield Segment(self.open, self.document, self.id, _plain(self.pieces))
            self.open = None


def sgm_segments(file: ByteStream) -> Iterator[Segment]:
    """The segments of an SGM file, with white space collapsed; lines are joined, as WMT's own
    `mteval` reads them. DataError with the line when it is
    damaged, or when a document occurs twice, as with several references."""
    return _Sgm(file).segments()


def read_sgm(file: ByteStream, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """A row for each segment: its text under the only column other than `document`."""
    text = [column for column in columns if column != DOCUMENT]
    if len(text) != 1:
        raise DataError(
            f"{file.name}: SGM holds one language; give a file for each: "
            f"path: {{{', '.join(f'{column}: …' for column in text)}}}"
        )
    for found in sgm_segments(file):
        row = {text[0]: found.text, DOCUMENT: found.document}
        yield {column: row[column] for column in columns}


@dataclass
class _Document:
    """The contents of a document so far, by language and segment: the source, and its first
    reference."""

    id: str
    sides: dict[str, dict[str, str]] = field(default_factory=dict)


class _Xml(Markup):
    """The documents of WMT's XML."""

    def __init__(self, file: ByteStream) -> None:
        super().__init__(file)
        self.documents: list[_Document] = []
        self.found: list[_Document] = []  # complete ones
        self.languages: set[str] = set()
        self._root = False
        self._side: dict[str, str] | None = None
        self._segment: str | None = None
        self._text: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._root and name != "dataset":
            raise self.wrong(f"not WMT's XML: the first element is <{name}>")
        self._root = True
        if name == "doc":
            self.documents.append(_Document(attributes.get("id", "")))
        elif name in ("src", "ref"):
            self._begin_side(attributes.get("lang", "").strip().lower())
        elif name == "hyp":
            self._side = None
        elif name == "seg" and self._side is not None:
            self._segment, self._text = attributes.get("id", ""), []

    def _begin_side(self, language: str) -> None:
        if not self.documents:
            raise self.wrong("a side outside of <doc>")
        if not language:
            raise self.wrong("a side without lang")
        self.languages.add(language)
        sides = self.documents[-1].sides
        self.file.remarks.count(self.file.name, FURTHER, language in sides)
        self._side = {} if language in sides else sides.setdefault(language, {})

    def end(self, name: str) -> None:
        if name == "seg" and self._side is not None and self._segment is not None:
            if self._segment in self._side:
                raise self.wrong(f"segment {self._segment!r} for the second time")
            self._side[self._segment] = collapsed_lines("".join(self._text))
            self._segment = None
        elif name in ("src", "ref", "hyp"):
            self._side = None
        elif name == "doc":
            self.found.append(self.documents.pop())

    def characters(self, text: str) -> None:
        if self._segment is not None:
            self._text.append(text)


def read_wmt_xml(file: ByteStream, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """A row for each segment: its text in every language of `columns`, with its line breaks,
    empty where there is none, and its document under `document`. Of several references of a
    document the first is used. DataError when the file has no text in one of the languages."""
    reader = _Xml(file)
    languages = [column for column in columns if column != DOCUMENT]
    for _ in reader.run():
        for found in reader.found:
            sides = [found.sides.get(language, {}) for language in languages]
            for segment in dict.fromkeys(key for side in sides for key in side):
                row = {k: s.get(segment, "") for k, s in zip(languages, sides, strict=True)}
                row[DOCUMENT] = found.id
                yield {column: row[column] for column in columns}
        reader.found.clear()
    for language in languages:
        if language not in reader.languages:
            raise DataError(
                f"{file.name}: nothing in {language!r}; languages there: "
                f"{', '.join(sorted(reader.languages)) or 'none'}"
            )
