"""Term accuracy: the share of the glossary's terms relevant to a sentence that its translation
contains.

A glossary entry (term, translation) counts for a segment if the term occurs in the source and the
translation in the reference; it is found if that translation occurs in the output. So an output
need not contain more than its reference does, and another correct translation of the term is not
found. Each entry counts once for a segment, however often it occurs there; entries that differ only
in case are one; a term within a longer one (`virus` in `virus infection`) counts by itself.

    term accuracy = entries found / entries that count, summed over segments         unit: 0 to 1

Many terms are the same in both languages (`virus`), and a copy of the source contains those: in
TICO-19 English-French almost half. `Terms.translated` leaves out, for each segment, the entries
whose translation already occurs in the source; a copy then has 0.

"Occurs" ignores case, kinds of apostrophe and runs of white space, and requires exactly the form of
the glossary (no inflection), with no letter, mark or digit directly before or after it. In
languages that are written without spaces it means anywhere in the text.

The rest of the output is ignored: a list of the glossary would have 1.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mtray.analysis.uncertainty import Array, Measurement
from mtray.data.languages import WITHOUT_SPACES
from mtray.evaluation.metrics.quality import Clusters

APOSTROPHES = str.maketrans("’ʼ‘", "'''")


def folded(text: str) -> str:
    """The normalised form in which terms are searched."""
    composed = unicodedata.normalize("NFC", text).casefold().translate(APOSTROPHES)
    return " ".join(composed.split())


def _in_word(character: str) -> bool:
    """Letters, marks (the vowel signs of Indic scripts) and digits: Unicode L*, M*, N*."""
    return bool(character) and unicodedata.category(character)[0] in "LMN"


def occurs(term: str, text: str, bounded: bool) -> bool:
    """Whether a text contains a term, both `folded`; `bounded`: as whole words."""
    start = text.find(term)
    while start >= 0:
        before, after = text[start - 1 : start], text[start + len(term) :][:1]
        if not bounded or not (_in_word(before) or _in_word(after)):
            return True
        start = text.find(term, start + 1)
    return False


def found_share(sums: Array) -> Array:
    """From (found, counted), shape (..., 2); NaN if nothing counts, which is possible in a resample
    only."""
    nothing = np.full_like(sums[..., 1], np.nan)
    return np.divide(sums[..., 0], sums[..., 1], out=nothing, where=sums[..., 1] > 0)


@dataclass(frozen=True)
class Terms:
    """The translations that each segment's output should contain; `bounded`: as whole words. All
    texts are `folded`."""

    wanted: list[list[str]]
    bounded: bool
    signature: str
    sources: list[str]

    @property
    def counted(self) -> int:
        return sum(map(len, self.wanted))

    def take(self, keep: Sequence[int]) -> Terms:
        return replace(
            self, wanted=[self.wanted[i] for i in keep], sources=[self.sources[i] for i in keep]
        )

    def translated(self) -> Terms:
        """The terms whose translation does not occur in the source."""
        wanted = [
            [term for term in terms if not occurs(term, source, self.bounded)]
            for terms, source in zip(self.wanted, self.sources, strict=True)
        ]
        return replace(self, wanted=wanted, signature=f"{self.signature}|not-in-source")

    def found(self, hypotheses: Sequence[str]) -> list[int]:
        """Number of terms found in each output."""
        pairs = zip(self.wanted, map(folded, hypotheses), strict=True)
        return [sum(occurs(term, text, self.bounded) for term in terms) for terms, text in pairs]

    def measure(self, hypotheses: Sequence[str], clusters: Clusters = None) -> Measurement:
        """Term accuracy. At least one term must count."""
        rows = [self.found(hypotheses), [len(terms) for terms in self.wanted]]
        stats = np.array(rows, dtype=np.float64).T
        return Measurement(stats, found_share, self.signature, clusters, bounds=(0.0, 1.0))

    def counts(self, hypotheses: Sequence[str]) -> dict[str, float]:
        """Numbers of entries that count, of those found, of those whose translation is not in the
        source, and of segments with at least one entry that counts."""
        return {
            "terms": float(self.counted),
            "terms_found": float(sum(self.found(hypotheses))),
            "terms_not_in_source": float(self.translated().counted),
            "segments_with_terms": float(sum(map(bool, self.wanted))),
        }


def find_terms(
    glossary: Sequence[tuple[str, str]],
    sources: Sequence[str],
    references: Sequence[str],
    languages: tuple[str, str],
) -> Terms:
    """The terms that count in segments translated from the first of `languages` to the second."""
    pairs = dict.fromkeys((folded(term), folded(translation)) for term, translation in glossary)
    entries = [pair for pair in pairs if all(pair)]
    in_source, in_target = (language not in WITHOUT_SPACES for language in languages)
    sources, references = list(map(folded, sources)), list(map(folded, references))
    wanted = [
        [
            t
            for s, t in entries
            # a fast check, since most terms do not occur at all
            if s in source and t in reference
            if occurs(s, source, in_source) and occurs(t, reference, in_target)
        ]
        for source, reference in zip(sources, references, strict=True)
    ]
    digest = hashlib.sha256(repr(sorted(entries)).encode()).hexdigest()[:8]
    match = "words" if in_target else "substring"
    return Terms(
        wanted,
        in_target,
        f"term-accuracy|lang:{'-'.join(languages)}|match:{match}-caseless|entries:{len(entries)}"
        f"|glossary:{digest}",
        sources,
    )
