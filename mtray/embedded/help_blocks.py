"""Aligned text of LibreOffice's help: its pages have the same blocks (paragraphs, headings, cells)
in every language, with the same ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from html.parser import HTMLParser

Key = tuple[str, int]  # a block's id, and its place among the blocks of the page with that id
Blocks = dict[Key, str]
PREFIXES = ("par_id", "hd_id")
VOID = ("br", "img", "meta", "link", "input", "hr", "wbr", "col")  # tags that have no end


class _PageReader(HTMLParser):
    """Collects the text of the blocks of a page, without those of program code. Of a word that
    depends on the system or the application (`switchinline`) only the default is taken."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: Blocks = {}
        self._seen: Counter[str] = Counter()
        self._open: list[str] = []  # tags within the block, its own first
        self._skipped_from = 0  # depth of the tag whose text is left out; 0: none is
        self._id, self._text = "", list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if not self._open:
            if not given.get("id", "").startswith(PREFIXES) or "code" in given.get("class", ""):
                return
            self._id, self._text = given["id"], []
        if tag in VOID:
            self._text.append(" ")
            return
        self._open.append(tag)
        if not self._skipped_from and "hidden" in given and "class" in given:
            self._skipped_from = len(self._open)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self._open:
            return
        while self._open.pop() != tag:  # tags that were never closed
            pass
        if len(self._open) < self._skipped_from:
            self._skipped_from = 0
        if not self._open:
            self._end()

    def handle_data(self, data: str) -> None:
        if self._open and not self._skipped_from:
            self._text.append(data)

    def _end(self) -> None:
        place = self._seen[self._id]
        self._seen[self._id] += 1
        if text := " ".join("".join(self._text).split()):
            self.found[self._id, place] = text


def page_blocks(html: str) -> Blocks:
    """The texts of a page by block, each on one line."""
    reader = _PageReader()
    reader.feed(html)
    reader.close()
    return reader.found


def aligned_blocks(a: Blocks, b: Blocks) -> list[tuple[str, str]]:
    """The texts of the blocks that both have, without those that are the same in both: names,
    numbers, and what was not translated. A block that one page has more often than the other is
    left out, as it is not clear which is which."""
    often = [Counter(block for block, _ in found) for found in (a, b)]
    return [
        (text, b[key])
        for key, text in a.items()
        if key in b and text != b[key] and often[0][key[0]] == often[1][key[0]]
    ]


def paired(a: Mapping[str, Blocks], b: Mapping[str, Blocks]) -> list[tuple[str, str, str]]:
    """Document and both texts of every aligned block, in the order of the documents."""
    both = sorted(a.keys() & b.keys())
    return [(page, *texts) for page in both for texts in aligned_blocks(a[page], b[page])]
