"""Segments that are longer than COMET reads, scored in parts that it reads whole
(`evaluation.comet_long`).

A segment is divided no finer than needed: into its lines if source, translation and reference have
equally many; else into sentences, aligned by `sentence_alignment`; texts without sentences into
pieces of equal length, aligned in the same way. With `sentences` each line or group of sentences is
a part. With `sliding` a part is `WINDOW` successive ones, and the next begins `STRIDE` further, as
in SLIDE (Raunak, Kocmi & Post 2024, "SLIDE: Reference-free Evaluation for Machine Translation using
a Sliding Document Window"), which has source and translation line by line.

The score is the mean of the parts, weighted so that every character of the reference (of the source
if there is none) counts once; so the weights do not depend on the system. SLIDE's mean is not
weighted: its windows have equally many sentences, which ours need not have. A part whose
translation is missing has the score of an empty translation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mtray.evaluation.metrics.sentence_alignment import (
    Cut,
    Span,
    aligned,
    lines,
    pieces,
    sentences,
)

Triple = tuple[str, str, str]  # source, translation, reference; "" without a reference
Read = Mapping[Triple, tuple[float, str | None]]  # scores, and the letters of what was cut
WAYS = ("lines", "sentences", "pieces")  # from coarse to fine
TRUNCATE, SENTENCES, SLIDING = FORMS = ("truncate", "sentences", "sliding")
WINDOW, STRIDE = 6, 3  # lines or groups of sentences
NOTHING: Span = (0, 0)  # of a text that has nothing in a group
PACKED = 4  # pieces of a part: 200 characters, since COMET is trained on sentences


@dataclass
class Part:
    """A segment, or a part of one.

    - `texts`, `weight`: what is scored, and its weight among the parts of the same segment.
    - `score`: COMET's; None: the translation is empty.
    - `cut`: letters of the texts that COMET cut.
    - `way`: how it was divided into `parts`; None: it was not.
    """

    texts: Triple
    weight: float = 1.0
    score: float | None = None
    cut: str = ""
    way: str | None = None
    parts: list[Part] = field(default_factory=list)

    def divide(self, form: str) -> list[Part]:
        """The parts of a segment that was cut; none if it cannot be divided."""
        self.way, self.parts = divided(self.texts, self.cut, form)
        return self.parts

    def value(self, empty: float) -> float:
        """The mean of its parts; one without a translation has the score `empty`."""
        if not self.parts:
            return empty if self.score is None else self.score
        whole = sum(part.weight for part in self.parts)
        return sum(part.weight / whole * part.value(empty) for part in self.parts)

    def leaves(self) -> list[Part]:
        return [leaf for part in self.parts for leaf in part.leaves()] if self.parts else [self]

    def ways(self) -> list[str]:
        return ([self.way] if self.way else []) + [w for part in self.parts for w in part.ways()]


@dataclass(frozen=True)
class LongScore:
    """The score of a segment in parts; `way` is the finest division that it needed, None: none was
    possible. `truncated`: a part is still longer than COMET reads."""

    value: float
    way: str | None
    truncated: bool


def score_in_parts(
    cut: Mapping[Triple, str], read: Callable[[Sequence[Triple]], Read], form: str, lowest: float
) -> dict[Triple, LongScore | None]:
    """The scores of segments that COMET cut (with the letters of their texts); None for one that
    cannot be divided. `read` scores triples, `lowest` is the score of an empty translation where no
    part of the segment has a lower one."""
    roots = {texts: Part(texts, cut=letters) for texts, letters in cut.items()}
    level = list(roots.values())
    while level:
        below = [part for whole in level for part in whole.divide(form)]
        known = read([part.texts for part in below if part.texts[1].strip()])
        for part in below:
            if part.texts in known:
                part.score, part.cut = known[part.texts][0], known[part.texts][1] or ""
        level = [part for part in below if part.cut]
    return {texts: _summed(root, lowest) for texts, root in roots.items()}


def _summed(root: Part, lowest: float) -> LongScore | None:
    if not root.parts:
        return None
    leaves = root.leaves()
    empty = min([lowest, *(leaf.score for leaf in leaves if leaf.score is not None)])
    way = max(root.ways(), key=WAYS.index)
    return LongScore(root.value(empty), way, any(leaf.cut for leaf in leaves))


def ways_of(found: Iterable[LongScore | None]) -> dict[str, int]:
    """How many segments were divided in which way."""
    counts = Counter(score.way for score in found if score is not None and score.way)
    return {way: counts[way] for way in WAYS if counts[way]}


def divided(texts: Triple, cut: str, form: str) -> tuple[str | None, list[Part]]:
    """The coarsest division of a segment into at least two parts. A translation that alone is too
    long is not cut into pieces: what is beyond its reference belongs to none of them."""
    spans = [lines(text) for text in texts if text]
    if len({len(found) for found in spans}) == 1 and len(spans[0]) > 1:
        ends = range(1, len(spans[0]) + 1)
        groups = [_group(texts, [[n - 1, n]] * 3, [lines(t) for t in texts]) for n in ends]
        return WAYS[0], _windows(texts, groups, form)
    for way, units in (("sentences", sentences), ("pieces", pieces)):
        if way == "pieces" and set(cut) == {"h"}:
            break
        groups = aligned_groups(texts, [units(text) for text in texts])
        if len(groups) > 1:
            return way, _windows(texts, groups, form, PACKED if way == "pieces" else 1)
    return None, []


def aligned_groups(texts: Triple, units: Sequence[Sequence[Span]]) -> list[list[Span]]:
    """The spans of source, translation and reference of every group. Source and translation are
    each aligned to the reference (to the source without one), and a group ends where both do. The
    translation of a group may be missing."""
    held = 2 if texts[2] else 0  # what the others are aligned to
    words = [[texts[k][a:b] for a, b in units[k]] for k in range(3)]
    ends = {n: n for n in range(1, len(words[held]) + 1)}
    source = ends
    if held:
        ratio = len(texts[0]) / max(1, len(texts[2]))
        source = _by_right(aligned(words[0], words[2], ratio, missing=False))
    # a translation is in the reference's language, and as long as it where nothing is missing
    ratio = 1.0 if held else len(texts[1]) / max(1, len(texts[0]))
    answer = _by_right(aligned(words[1], words[held], ratio, missing=True))
    groups, before = [], (0, 0, 0)
    for end in sorted(source.keys() & answer.keys()):
        here = (source[end], answer[end], end if held else 0)
        groups.append(_group(texts, list(zip(before, here, strict=True)), units))
        before = here
    return groups


def _by_right(cuts: Sequence[Cut]) -> dict[int, int]:
    return {right: left for left, right in cuts}


def _group(
    texts: Triple, ranges: Sequence[Sequence[int]], units: Sequence[Sequence[Span]]
) -> list[Span]:
    """The span of units from one number to another, of each text; empty without units."""
    found = []
    for (first, last), spans in zip(ranges, units, strict=True):
        inside = spans[first:last]
        found.append((inside[0][0], inside[-1][1]) if inside else NOTHING)
    return found


def _windows(
    texts: Triple, groups: Sequence[Sequence[Span]], form: str, packed: int = 1
) -> list[Part]:
    """Parts of successive groups, each with fewer groups than there are."""
    size = stride = max(1, min(packed, len(groups) // 2))
    if form == SLIDING:
        size = max(1, min(WINDOW, len(groups) // 2))
        stride = max(1, min(STRIDE, size // 2))
    starts = [n for n in range(0, len(groups), stride) if n == 0 or n + size - stride < len(groups)]
    windows = [range(n, min(n + size, len(groups))) for n in starts]
    covered = Counter(n for window in windows for n in window)
    found = []
    for window in windows:
        weight = sum(_length(groups[n]) / covered[n] for n in window)
        found.append(Part(_texts(texts, [groups[n] for n in window]), weight))
    return found


def _length(group: Sequence[Span]) -> int:
    """Characters of a group's reference, or of its source without one."""
    source, _, reference = (end - start for start, end in group)
    return reference or source


def _texts(texts: Triple, groups: Sequence[Sequence[Span]]) -> Triple:
    inside = []
    for k, text in enumerate(texts):
        spans = [group[k] for group in groups if group[k] != NOTHING]
        inside.append(text[spans[0][0] : spans[-1][1]] if spans else "")
    source, answer, reference = inside
    return source, answer, reference
