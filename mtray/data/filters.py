"""Which rows of a source are kept, as a stream, with counts of dropped rows by reason.

A row is tested by the filters in the order of `REASONS` and counted under the first that it fails.
Filters up to `wrong_language` look at a row alone, so parts of a source can be filtered apart
(`mtray.data.shards`). The duplicate filters compare it with the rows kept before, so that the first
of several stays. Only the duplicate filters need memory that grows with the corpus.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from mtray.data.evaluation_texts import unread
from mtray.data.filter_counts import KEPT, LEAKS, FilterCounts
from mtray.data.language_check import LanguageCheck
from mtray.data.leakage import EvaluationIndex, Overlap, evaluation_index
from mtray.data.near_duplicates import NearDuplicates
from mtray.data.readers.sources import paths_of
from mtray.errors import DataError
from mtray.schema import Filters, Source, Study

Row = dict[str, str]

# rows per chunk, fewer where they are long
CHUNK_ROWS, CHUNK_CHARACTERS = 4096, 1 << 20
# C0 and C1 except tab and line ends; the replacement character of a broken decoding, the byte-order
# mark, lone surrogates and non-characters. Joiners and direction marks are legitimate.
CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\ufeff\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]"
)
LINGUA = "lingua-language-detector"
VERSION = 1  # raise when a rule changes: stores filtered by the old one are stale then


def sides_of(source: Source) -> tuple[str, ...]:
    """The roles of the texts in a row."""
    return ("source", "target") if source.kind == "parallel" else source.roles


class RowFilter:
    """The filter of one pass over one source.

    - `found`: counts of the rows read so far.
    - `examples`: some rows that overlap with an evaluation set.
    - `notes`: what was not checked.
    - `languages`: candidates for a row in a wrong language, besides the source's own and common
      ones.
    """

    def __init__(
        self,
        source: Source,
        filters: Filters,
        index: EvaluationIndex | None,
        notes: Sequence[str] = (),
        languages: Sequence[str] = (),
    ) -> None:
        self.source, self.filters, self._index = source, filters, index
        self.sides = sides_of(source)
        self.found, self.rows_read = FilterCounts(), 0
        self._language: LanguageCheck | None = None
        if filters.wrong_language is not None:
            self._language = LanguageCheck(source, filters.wrong_language, languages)
        self.notes = [*notes, *(self._language.notes if self._language else [])]
        self._seen: set[int] = set()
        self._near = NearDuplicates(filters.near_duplicates) if filters.near_duplicates else None

    @property
    def counts(self) -> dict[str, int]:
        return self.found.counts

    @property
    def overlaps(self) -> dict[str, int]:
        return self.found.overlaps

    @property
    def examples(self) -> list[str]:
        return [example for name in LEAKS for example in self.found.examples.get(name, ())]

    @property
    def comparing(self) -> str:
        """The filters that compare rows with earlier ones, in words; empty without one."""
        wanted = self.filters.model_dump()
        return " and ".join(name for name in ("duplicates", "near_duplicates") if wanted[name])

    @property
    def allowed(self) -> dict[str, int]:
        """Rows that overlap and are kept because the source allows it."""
        return {name: n for name, n in self.overlaps.items() if self._mode(name) == "allow"}

    @property
    def packages(self) -> tuple[str, ...]:
        """Packages whose version can change the verdict on a row."""
        language = (LINGUA,) if self._language is not None else ()
        return (*language, "numpy") if self._near is not None else language

    @property
    def texts_signature(self) -> str:
        """Signature of the evaluation texts that are searched for."""
        return self._index.signature if self._index else ""

    @property
    def signature(self) -> str:
        """Changes with everything that can change the verdict on a source's rows, except package
        versions."""
        index = self.texts_signature
        known = [VERSION, self.filters.model_dump(mode="json"), self.source.kind, index]
        languages = [self._language.expected, self._language.among] if self._language else []
        return hashlib.sha256(json.dumps([*known, languages]).encode()).hexdigest()

    def kept(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows that pass, in order. DataError at the end when rows overlap with an evaluation
        set and the source does not say what to do; no row is returned after the first of them."""
        self.found, self.rows_read = FilterCounts({KEPT: 0}), 0
        yield from self.passing(rows)
        self.check()

    def passing(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Like `kept`, without the error at the end."""
        for chunk in _chunks(rows, self.sides):
            for row, reason in zip(chunk, self._verdicts(chunk), strict=True):
                self.found.count(reason)
                if reason == KEPT and not self.refused:
                    yield row

    def part(self, before: int) -> RowFilter:
        """The filter for a part of the source that has `before` rows before it, with counts of its
        own. Rows are not compared with those of other parts."""
        other = copy.copy(self)
        other.found, other.rows_read = FilterCounts({KEPT: 0}), before
        return other

    def check(self) -> None:
        """Raise DataError where rows overlap with an evaluation set and the source does not say
        what to do."""
        if self.refused:
            raise DataError(self._leaked())

    @property
    def refused(self) -> bool:
        """Whether `check` raises."""
        return any(self.overlaps.get(name) and self._mode(name) == "error" for name in LEAKS)

    def _mode(self, leak: str) -> str | None:
        return {"leakage": self.filters.leakage, "shots_leakage": self.filters.shots_leakage}[leak]

    def _verdicts(self, chunk: Sequence[Row]) -> list[str]:
        found = [self._verdict(row) for row in chunk]
        self._mark(chunk, found, "wrong_language", self._other_language)
        self._mark(chunk, found, "duplicates", self._repeated)
        self._mark(chunk, found, "near_duplicates", self._nearly_repeated)
        return found

    def _mark(
        self,
        chunk: Sequence[Row],
        found: list[str],
        reason: str,
        fail: Callable[[list[Row]], list[bool]],
    ) -> None:
        """Give the reason to those rows of a chunk that have none so far and fail."""
        places = [i for i, verdict in enumerate(found) if verdict == KEPT]
        for place, fails in zip(places, fail([chunk[i] for i in places]), strict=True):
            if fails:
                found[place] = reason

    def _verdict(self, row: Row) -> str:
        """The verdict on a row by itself, without the language check."""
        self.rows_read += 1
        filters, texts = self.filters, [row[side] or "" for side in self.sides]
        if filters.empty and not all(text and not text.isspace() for text in texts):
            return "empty"
        if filters.control_characters and any(map(CONTROL.search, texts)):
            return "control_characters"
        if (limit := filters.characters) and not all(limit.holds(len(t)) for t in texts):
            return "characters"
        if (limit := filters.words) and not all(limit.holds(len(t.split())) for t in texts):
            return "words"
        if self.source.kind == "parallel":
            short, long = sorted(len(text.strip()) for text in texts)
            if filters.length_ratio is not None and long > filters.length_ratio * short:
                return "length_ratio"
            if filters.identical and _plain(texts[0]) == _plain(texts[1]):
                return "identical"
        return self._leak(texts) if self._index is not None else KEPT

    def _leak(self, texts: Sequence[str]) -> str:
        assert self._index is not None
        found = [self._index.find(text) for text in texts]
        overlaps = [o for o in found if o and self._mode(_leak_of(o)) is not None]
        if not overlaps:
            return KEPT
        first = min(overlaps, key=lambda o: o.found.shown)
        name = _leak_of(first)
        side = self.sides[found.index(first)]
        self.found.overlap(name, lambda: self._example(first, side))
        return KEPT if self._mode(name) == "allow" else name

    def _example(self, overlap: Overlap, side: str) -> str:
        paths = paths_of(self.source.path)
        place = self.sides.index(side) if len(paths) == len(self.sides) else 0
        return (
            f"{paths[place]}: row {self.rows_read}, {side}: {overlap.found.text[:60]!r} "
            f"of {overlap.found.where}"
        )

    def _leaked(self) -> str:
        name = next(n for n in LEAKS if self.overlaps.get(n) and self._mode(n) == "error")
        return self.found.refusal(self.source.name, name)

    def _other_language(self, rows: list[Row]) -> list[bool]:
        if self._language is None:
            return [False] * len(rows)
        return self._language.wrong([[row[side] for side in self.sides] for row in rows])

    def _repeated(self, rows: list[Row]) -> list[bool]:
        which = self.filters.duplicates
        if which is None:
            return [False] * len(rows)
        sides = {"source": self.sides[:1], "target": self.sides[-1:]}.get(which, self.sides)
        found = []
        for row in rows:
            key = _digest([row[side] for side in sides])
            found.append(key in self._seen)
            self._seen.add(key)
        return found

    def _nearly_repeated(self, rows: list[Row]) -> list[bool]:
        if self._near is None:
            return [False] * len(rows)
        return self._near.add(["\n".join(row[side] for side in self.sides) for row in rows])

    def lines(self) -> list[str]:
        """A summary for people."""
        out = [self.found.summary(self.source.name)]
        for name in LEAKS:
            if count := self.allowed.get(name):
                out.append(f"  kept although {LEAKS[name]}: {count:,} (`filters.{name}: allow`)")
            out += [f"  {example}" for example in self.found.examples.get(name, ())]
        return out + [f"  {note}" for note in self.notes]


def _leak_of(overlap: Overlap) -> str:
    return "shots_leakage" if overlap.found.shown else "leakage"


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _digest(texts: Sequence[str]) -> int:
    """8 bytes: among ten million rows any two collide with a probability of 0.000003."""
    joined = "\x00".join(texts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(joined, digest_size=8).digest(), "big")


def _chunks(rows: Iterable[Row], sides: Sequence[str]) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    characters = 0
    for row in rows:
        chunk.append(row)
        characters += sum(len(row[side] or "") for side in sides)
        if len(chunk) == CHUNK_ROWS or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def filters_of(source: Source, study: Study) -> Filters:
    """The study's filters, overridden by the source's."""
    return Filters.model_validate({**study.filters.model_dump(), **source.filters})


def looks_for_leakage(study: Study) -> bool:
    """Whether the rows of any source depend on the texts of the evaluation."""
    return any(_looks(filters_of(source, study)) for source in study.sources)


def _looks(filters: Filters) -> bool:
    return filters.leakage is not None or filters.shots_leakage is not None


def build_filter(source: Source, study: Study, index: EvaluationIndex | None = None) -> RowFilter:
    """The filter of a source for one pass. `index`: that of the study's evaluation sets; built here
    if not given, which takes about 0.1 ms a text. Raises ConfigError or DataError."""
    filters = filters_of(source, study)
    looks = _looks(filters)
    if looks and index is None:
        index = evaluation_index(study)
    notes = []
    if looks and (missed := unread(study)):
        notes = [f"leakage: not checked in {', '.join(missed)}"]
    languages = sorted({code for other in study.sources for code in other.languages})
    return RowFilter(source, filters, index if looks else None, notes, languages)
