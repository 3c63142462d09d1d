"""IdiomsInCtx-MT (Stap et al. 2024) in its published format, bilingual dictionaries, and idiom
spans.

A file of the set starts with four lines (copyright, a blank one, SPDX, a blank one), followed by
1,000 sentences. Idioms are not marked. Most lines come in pairs with the same idiom: the two of a
pair share a rare word in 82 and 80 % of cases (de-en, en-de), neighbours from different pairs in 5
and 1 %; in places the pairs are shifted by a line.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mtray.data.readers.lines import read_lines
from mtray.errors import DataError

HEADER_LINES, SENTENCES = 4, 1000
# the most lines of a set that a word may occur in and still identify an idiom
RARE = 3


def has_header(lines: Sequence[str]) -> bool:
    """Whether lines start like a file of IdiomsInCtx-MT."""
    head = lines[:HEADER_LINES]
    return (
        len(head) == HEADER_LINES
        and head[0].startswith("// Copyright")
        and any("SPDX-License-Identifier" in line for line in head)
    )


def without_header(lines: Sequence[str]) -> list[str]:
    """The sentences among a file's lines, of any number, with or without the header."""
    return list(lines[HEADER_LINES:] if has_header(lines) else lines)


def read_idioms(path: Path) -> list[str]:
    """The 1,000 sentences of a published file, or of one without the header. DataError for any
    other number of lines, and for a sentence without text."""
    lines = read_lines(path)
    sentences = without_header(lines)
    if len(sentences) != SENTENCES:
        header = "with" if has_header(lines) else "without"
        raise DataError(
            f"{path}: expected {SENTENCES:,} sentences after a header of {HEADER_LINES} lines "
            f"(copyright, SPDX), found {len(lines):,} lines {header} that header; sets of other "
            "sizes are given as one table (.tsv, .jsonl, .parquet)"
        )
    for number, sentence in enumerate(sentences, len(lines) - SENTENCES + 1):
        if not sentence.strip():
            raise DataError(f"{path}:{number}: no text")
    return sentences


def idiom_clusters(sides: Sequence[Sequence[Sequence[str]]], pairs: bool) -> npt.NDArray[np.int64]:
    """The clusters that a bootstrap resamples, shape (sentences,): consecutive sentences that share
    a word, on either side, that occurs in at most `RARE` of the set's sentences.

    `sides`: the words of each sentence, of the sources and of the references. `pairs`: sentences 2k
    and 2k+1 are in one cluster whatever they share, as in IdiomsInCtx-MT. Too large a cluster
    widens an interval, a split one narrows it, so both rules apply.
    """
    count = len(sides[0])
    together = np.zeros(count, dtype=bool)  # in one cluster with the sentence before
    if pairs:
        together[1::2] = True
    for side in sides:
        bags = [frozenset(word.lower() for word in words) for words in side]
        frequency = Counter(word for bag in bags for word in bag)
        for i in range(1, count):
            shared = bags[i - 1] & bags[i]
            together[i] |= any(frequency[word] <= RARE for word in shared)
    return np.cumsum(~together).astype(np.int64) - 1


@dataclass(frozen=True)
class Dictionary:
    """Translations of words, in the order of the files. `skipped`: number of lines that are not a
    pair."""

    entries: Mapping[str, tuple[str, ...]]
    skipped: int = 0

    def translations(self, word: str) -> tuple[str, ...]:
        """Translations of the word as given and lower-cased, without duplicates."""
        found = (*self.entries.get(word, ()), *self.entries.get(word.lower(), ()))
        return tuple(dict.fromkeys(found))


def read_dictionary(path: Path, reverse: Path | None = None) -> Dictionary:
    """A word and a translation a line, separated by a tab or, as in MUSE's files, by white space.
    `reverse` is a dictionary of the other direction, whose pairs are swapped and added. Lines that
    are not a pair are counted; DataError when a file has no other lines."""
    entries: dict[str, dict[str, None]] = {}
    skipped = 0
    for file, turned in ((path, False), (reverse, True)):
        if file is None:
            continue
        lines = [line for line in read_lines(file) if line.strip()]
        fields = [line.split("\t") if "\t" in line else line.split() for line in lines]
        pairs = [(f[0].strip(), f[1].strip()) for f in fields if len(f) == 2 and all(f)]
        if not pairs:
            raise DataError(
                f"{file}: no line holds a word and its translation, separated by a tab or a space"
            )
        skipped += len(lines) - len(pairs)
        for word, translation in pairs:
            source, target = (translation, word) if turned else (word, translation)
            entries.setdefault(source, {})[target] = None
    return Dictionary({word: tuple(found) for word, found in entries.items()}, skipped)


class MarkedIdiom(NamedTuple):
    """An idiom's label and its spans in a sentence: (start, end) in characters."""

    label: str
    spans: tuple[tuple[int, int], ...]


def read_spans(path: Path, sentences: Sequence[str]) -> list[MarkedIdiom | None]:
    """One line for each sentence: `label`, a tab, a list of (start, end); None for an empty line or
    list. DataError naming the line for anything else, or when the number of lines is wrong."""
    lines = read_lines(path)
    if len(lines) != len(sentences):
        raise DataError(
            f"{path} has {len(lines):,} lines of spans for {len(sentences):,} sentences"
        )
    return [
        _marked(f"{path}:{number}", line, len(sentence)) if line.strip() else None
        for number, (line, sentence) in enumerate(zip(lines, sentences, strict=True), 1)
    ]


def _marked(where: str, line: str, length: int) -> MarkedIdiom | None:
    label, tab, text = line.partition("\t")
    try:
        found = ast.literal_eval(text.strip()) if tab else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, list | tuple):
        raise DataError(
            f"{where}: expected a label, a tab and a list such as [(3, 17)], found {line[:60]!r}"
        )
    for span in found:
        whole = isinstance(span, list | tuple) and len(span) == 2
        if not whole or not all(isinstance(n, int) and not isinstance(n, bool) for n in span):
            raise DataError(f"{where}: expected pairs of whole numbers, found {span!r}")
        if not 0 <= span[0] < span[1] <= length:
            raise DataError(f"{where}: {span!r} is outside a sentence of {length} characters")
    return MarkedIdiom(label, tuple((s[0], s[1]) for s in found)) if found else None
