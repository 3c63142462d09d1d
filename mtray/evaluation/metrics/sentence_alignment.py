"""Cuts texts into sentences or pieces, and aligns those of two texts, in order.

The alignment is that of Gale & Church (1993, Computational Linguistics 19:75), by lengths in
characters, with three differences. A sentence without counterpart costs the same at any length, so
that a missing half is not spread over the rest. It costs less after another one, since missing
sentences are often successive. And shared character trigrams lower the cost: aligned groups in one
language share words (Sennrich & Volk 2010 use BLEU for this), groups in two languages at least
names and numbers.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence

import numpy as np

from mtray.analysis.uncertainty import Array

Span = tuple[int, int]  # start and end in a text
Cut = tuple[int, int]  # units of the left and of the right text before it
State = tuple[int, int, bool]  # a cut, and whether the bead before it has one side only

# characters that end a sentence if white space follows (a subset of Unicode's property
# Sentence_Terminal), and characters that end one without
_END, _WIDE_END = ".!?…‽؟۔।॥։።፧၊။។៕᠃", "。！？｡．"
_CLOSING = "\"'”’»›)\\]}」』）】》〉"
_SENTENCE_END = re.compile(rf"[{_END}]+[{_CLOSING}]*(?=\s)|[{_WIDE_END}]+[{_CLOSING}]*")
_SHORT = re.compile(r"(?:^|\W)(?:[^\W\d_]|\d+)\.$")  # an initial or a number in a list
PIECE = 50  # characters; some eight English words
_PIECE = re.compile(rf"\S.{{0,{PIECE - 1}}}(?<=\S)(?=\s|$)|\S{{1,{PIECE}}}")

# Gale & Church: how often (left, right) sentences belong together, and the variance of the length
# of a translation for each character
PRIORS = {(1, 1): 0.89, (1, 0): 0.0099, (0, 1): 0.0099, (2, 1): 0.089, (1, 2): 0.089, (2, 2): 0.011}
VARIANCE = 6.8
NEXT_MISSING = 3.0  # nats, of a sentence without counterpart after another one
OVERLAP = 4.0  # what equal characters are worth for each sentence, in nats
BUCKETS = 1024  # of hashed trigrams


def lines(text: str) -> list[Span]:
    """The lines with text."""
    return [found.span() for found in re.finditer(r"\S(?:[^\n]*\S)?", text)]


def sentences(text: str) -> list[Span]:
    """Sentences by their punctuation; a line break ends one, too. A sentence does not begin with a
    lower-case letter and does not end with an initial or a number in a list. The alignment joins
    wrongly cut sentences again where the other text has one sentence fewer."""
    return [span for line in lines(text) for span in _in_line(text, line)]


def _in_line(text: str, line: Span) -> list[Span]:
    found, start = [], line[0]
    for end in [match.end() for match in _SENTENCE_END.finditer(text, *line)]:
        rest = text[end : line[1]].lstrip()
        if rest and not rest[0].islower() and not _SHORT.search(text[start:end]):
            found.append((start, end))
            start = line[1] - len(rest)
    return [*found, (start, line[1])]


def pieces(text: str) -> list[Span]:
    """Up to `PIECE` characters each, between words where there are any, for texts without signs
    that end a sentence."""
    return [found.span() for line in lines(text) for found in _PIECE.finditer(text, *line)]


def aligned(left: Sequence[str], right: Sequence[str], ratio: float, missing: bool) -> list[Cut]:
    """The ends of the groups that belong together, in order; the last is the end of both.

    ratio: characters of the left text for one of the right.
    missing: whether a group may have nothing on the left; otherwise each has something on both
        sides, as the only group of an empty text has not.
    """
    cuts: list[Cut] = []
    before, run = (0, 0), (0, 0)  # the bead before, and where units without counterpart begin
    for here in [*_path(left, right, ratio), None]:
        if here is not None and 0 in (here[0] - before[0], here[1] - before[1]):
            before = here
            continue
        if before != run:
            _enter_run(cuts, run, before, missing)
        if here is not None:
            cuts.append(here)
            before = run = here
    end = len(left), len(right)
    return [*cuts[:-1], end] if cuts else [end]


def _enter_run(cuts: list[Cut], start: Cut, end: Cut, missing: bool) -> None:
    """Successive units without counterpart: of both sides, they belong together; of one, to the
    group before, or with `missing` each unit of the right is a group of its own."""
    if end[0] > start[0] and end[1] > start[1]:
        cuts.append(end)
    elif missing and end[0] == start[0]:
        cuts += [(end[0], right) for right in range(start[1] + 1, end[1] + 1)]
    elif cuts:
        cuts[-1] = end


def _path(left: Sequence[str], right: Sequence[str], ratio: float) -> list[Cut]:
    """The ends of the beads of the cheapest alignment."""
    costs = [(*bead, _costs(bead, left, right, ratio).tolist()) for bead in PRIORS]
    wide = len(right) + 1
    # at every cut, by whether the bead before it has one side only
    best = [[(math.inf, math.inf)] * wide for _ in range(len(left) + 1)]
    chosen: dict[State, State] = {}
    best[0][0] = (0.0, math.inf)
    for i in range(len(left) + 1):
        for j in range(wide):
            found = list(best[i][j])
            for a, b, cost in costs:
                if a > i or b > j:
                    continue
                gap = not (a and b)
                pair, single = best[i - a][j - b]
                more = cost[i - a][j - b]
                pair, single = pair + more, single + (NEXT_MISSING if gap else more)
                if (total := min(pair, single)) < found[gap]:
                    found[gap] = total
                    chosen[i, j, gap] = (i - a, j - b, single < pair)
            best[i][j] = (found[0], found[1])
    pair, single = best[-1][-1]
    here = len(left), len(right), single < pair
    path: list[Cut] = []
    while here in chosen:
        path.append(here[:2])
        here = chosen[here]
    return path[::-1]


def _costs(bead: Cut, left: Sequence[str], right: Sequence[str], ratio: float) -> Array:
    """Costs in nats of a bead at every place, shape (left + 1 - a, right + 1 - b)."""
    from scipy.special import log_ndtr

    a, b = bead
    shape = max(0, len(left) + 1 - a), max(0, len(right) + 1 - b)
    prior: Array = np.full(shape, -math.log(PRIORS[bead]))
    if 0 in bead or 0 in shape:
        return prior
    long = _sums(np.array([[len(text)] for text in left], dtype=np.float64), a)
    wide = _sums(np.array([[len(text)] for text in right], dtype=np.float64), b).T * ratio
    delta = np.abs(long - wide) / np.sqrt(VARIANCE * (long + wide) / 2)
    lengths = -(math.log(2) + log_ndtr(-delta))
    likeness = _unit(_sums(_trigrams(left), a)) @ _unit(_sums(_trigrams(right), b)).T
    found: Array = prior + lengths - OVERLAP * (a + b) / 2 * likeness
    return found


def _sums(rows: Array, n: int) -> Array:
    """Of `n` successive rows each."""
    count = len(rows) + 1 - n
    found: Array = np.sum([rows[k : k + count] for k in range(n)], axis=0)
    return found


def _unit(rows: Array) -> Array:
    found: Array = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return found


def _trigrams(texts: Sequence[str]) -> Array:
    """Counts of character trigrams, hashed, shape (texts, BUCKETS)."""
    found = np.zeros((len(texts), BUCKETS))
    for row, text in zip(found, texts, strict=True):
        small = f" {text.lower()} "
        for k in range(len(small) - 2):
            row[zlib.crc32(small[k : k + 3].encode("utf-8", "replace")) % BUCKETS] += 1
    return found
