"""Rows in a language other than the source's, by lingua."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mtray.data.languages import Guess, candidates, identify_many, knows, other_language
from mtray.schema import Source

# more text does not improve the detection
MOST_CHARACTERS = 400


class LanguageCheck:
    """Detects rows in a wrong language. `wrong(rows)` says whether a side of each row is
    confidently in another language than the source's (by `mtray.data.languages.other_language`),
    among `others` and common ones. `notes`: what is not checked, and why.

    `quick` runs lingua's fast mode first, and the exact mode only where the fast one detects
    another language, so it finds a subset of what `exact` finds.
    """

    def __init__(
        self, source: Source, mode: Literal["exact", "quick"], others: Sequence[str] = ()
    ) -> None:
        self.mode = mode
        wanted: tuple[str | None, ...] = source.languages
        if source.kind not in ("parallel", "mono"):
            # a prompt can mix languages
            wanted = (None, source.languages[0] if len(source.languages) == 1 else None)
        wanted = wanted[: len(source.roles)]
        self.expected = tuple(c if c is not None and knows(c) else None for c in wanted)
        self.among = candidates(*others, *(code for code in self.expected if code))
        self.notes = [
            f"wrong_language: not looked at in {code}, which the detector does not know"
            for code in source.languages
            if not knows(code)
        ]
        if not self.notes and not any(self.expected):
            self.notes = [
                "wrong_language: not looked at, since `languages` of the source is not one language"
            ]

    def wrong(self, rows: Sequence[Sequence[str]]) -> list[bool]:
        """Rows are given as lists of their sides."""
        found = [False] * len(rows)
        for side, language in enumerate(self.expected):
            if language is None:
                continue
            asked = [place for place, is_wrong in enumerate(found) if not is_wrong]
            texts = [rows[place][side][:MOST_CHARACTERS] for place in asked]
            for place, is_wrong in zip(asked, self._wrong(texts, language), strict=True):
                found[place] = is_wrong
        return found

    def _wrong(self, texts: list[str], language: str) -> list[bool]:
        found = [False] * len(texts)
        places = list(range(len(texts)))
        if self.mode == "quick":
            quick = identify_many(texts, self.among, quick=True)
            places = [i for i in places if quick[i].language not in (None, language)]
        exact: list[Guess] = identify_many([texts[i] for i in places], self.among)
        for place, guess in zip(places, exact, strict=True):
            found[place] = other_language(texts[place], guess, language)
        return found
