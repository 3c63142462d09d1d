"""Artificially degraded reference translations with quality labels: the training data of COMET.

A text is a sequence of `Piece`s. A step (drop, shuffle ...) takes pieces and a severity in [0, 1]
and returns pieces, so steps can be chained. One rule labels all results, with w a word's weight:

    label = min(recall, precision) * (1 - ORDER_COST * inversions)
    recall = sum of w * credit over reference words still present / sum of w over the reference
    precision = the same sum / sum of w over all words of the degraded text
    inversions = share of word pairs in the wrong order (Kendall's tau distance as in Birch and
                 Osborne 2010), in [0, 1]

An unchanged word has credit 1, with a wrong ending `WRONG_ENDING`, with typing errors
`TYPING_ERROR`; a reference word counts once. Whole texts in place of the translation: see
`stand_in`.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from mtray.embedded.lexicon import Lexicon, key, split

ORDER_COST = 0.6  # the reversed reference gets 0.4: wrong order costs less than missing words
WRONG_ENDING = 0.7
TYPING_ERROR = 0.5
NEAR_MISS = 0.5  # right words in a sentence of another meaning, relative to the same words in place


@dataclass(frozen=True)
class Piece:
    """One word; `home` is its index in the reference, None if it is not from there; `credit` is the
    share of it that is correct, in [0, 1]."""

    text: str
    home: int | None
    credit: float = 1.0


Pieces = list[Piece]


@dataclass(frozen=True)
class Degraded:
    """`label` is the remaining quality, in [0, 1]; `kind` names the degradation."""

    text: str
    label: float
    kind: str


@dataclass(frozen=True)
class Surroundings:
    """What a step may draw from: `lexicon` is the target language's."""

    rng: random.Random
    lexicon: Lexicon
    source: str = ""
    other_language: str = ""


def quality(reference: Sequence[str], pieces: Pieces, lexicon: Lexicon) -> float:
    """The module's rule; 0 for an empty text."""
    if not pieces or not reference:
        return 0.0
    first: dict[int, Piece] = {}
    for piece in pieces:
        if piece.home is not None:
            first.setdefault(piece.home, piece)
    good = sum(lexicon.weight(reference[h]) * p.credit for h, p in first.items())
    wanted = sum(map(lexicon.weight, reference))
    given = sum(lexicon.weight(p.text if p.home is None else reference[p.home]) for p in pieces)
    homes = list(first)
    wrong = sum(a > b for i, a in enumerate(homes) for b in homes[i + 1 :])
    inversions = wrong / max(1, math.comb(len(homes), 2))
    return min(good / wanted, good / given) * (1 - ORDER_COST * inversions)


def matched(text: str, reference: Sequence[str]) -> Pieces:
    """Pieces of an independent text: words that also occur in the reference get an index there."""
    free: dict[str, list[int]] = defaultdict(list)
    for place, word in enumerate(reference):
        free[key(word)].append(place)
    words = split(text)[0]
    return [Piece(w, free[key(w)].pop(0) if free.get(key(w)) else None) for w in words]


def count(severity: float, pieces: Pieces) -> int:
    """Number of pieces that a step changes."""
    return min(len(pieces), int(severity * len(pieces) + 0.5))


def picked(severity: float, pieces: Pieces, rng: random.Random) -> list[int]:
    return sorted(rng.sample(range(len(pieces)), count(severity, pieces)))


def replaced(pieces: Pieces, places: Iterable[int], word: Callable[[int], str]) -> Pieces:
    out = list(pieces)
    for i in places:
        found = word(i)
        if key(found) != key(pieces[i].text):
            out[i] = Piece(found, None)
    return out


def drop(pieces: Pieces, severity: float, around: Surroundings) -> Pieces:
    gone = set(picked(severity, pieces, around.rng))
    return [p for i, p in enumerate(pieces) if i not in gone]


def truncate(pieces: Pieces, severity: float, around: Surroundings) -> Pieces:
    return pieces[: len(pieces) - count(severity, pieces)]


def shuffle_near(pieces: Pieces, severity: float, around: Surroundings) -> Pieces:
    """Each word moves by at most about 1 + 3 * severity positions."""
    places = [i + around.rng.uniform(0, 1 + 3 * severity) for i in range(len(pieces))]
    return [pieces[i] for i in sorted(range(len(pieces)), key=places.__getitem__)]


def shuffle_all(pieces: Pieces, severity: float, around: Surroundings) -> Pieces:
    """The chosen words are permuted."""
    places = picked(severity, pieces, around.rng)
    out = list(pieces)
    for to, origin in zip(places, around.rng.sample(places, len(places)), strict=True):
        out[to] = pieces[origin]
    return out


def wrong_words(pieces: Pieces, severity: float, around: Surroundings) -> Pieces:
    """Replace words by frequent words of the language."""
    places = picked(severity, pieces, around.rng)
    return replaced(pieces, places, lambda _: around.lexicon.any_word(around.rng))


def wrong_content(pieces: Pieces, severity: float, around: Surroundings) -> Pieces:
    """Keep the function words and replace content words, a typical error of small models."""
    content = [i for i, p in enumerate(pieces) if key(p.text) not in around.lexicon.function]
    places = around.rng.sample(content, int(severity * len(content) + 0.5))
    return replaced(pieces, places, lambda _: around.lexicon.any_word(around.rng))


def foreign_words(pieces: Pieces, severity: float, around: Surroundings) -> Pieces:
    """Replace words by words of another sentence."""
    other = split(around.lexicon.any_sentence(around.rng))[0] or ["…"]
    places = picked(severity, pieces, around.rng)
    return replaced(pieces, places, lambda _: around.rng.choice(other))


def untranslated(pieces: Pieces, severity: float, around: Surroundings) -> Pieces:
    """Leave words in the source language."""
    words = split(around.source)[0]
    places = picked(severity, pieces, around.rng) if words else []
    return replaced(pieces, places, lambda i: words[i * len(words) // len(pieces)])


def wander(pieces: Pieces, severity: float, around: Surroundings) -> Pieces:
    """A correct start, then the end of another sentence, which may make the text slightly
    longer."""
    wrong = count(severity, pieces)
    other = split(around.lexicon.any_sentence(around.rng))[0]
    tail = other[-(wrong + around.rng.randint(0, 2)) :] if wrong else []
    return pieces[: len(pieces) - wrong] + [Piece(w, None) for w in tail]


def insert(pieces: Pieces, severity: float, around: Surroundings) -> Pieces:
    out = list(pieces)
    for _ in range(count(severity, pieces)):
        word = Piece(around.lexicon.any_word(around.rng), None)
        out.insert(around.rng.randint(0, len(out)), word)
    return out


def repeat(pieces: Pieces, severity: float, around: Surroundings) -> Pieces:
    """One to three words are repeated; at most doubles the text."""
    extra, start = count(severity, pieces), around.rng.randrange(len(pieces))
    span = pieces[start : start + around.rng.randint(1, 3)]
    end = start + len(span)
    return pieces[:end] + (span * extra)[:extra] + pieces[end:]


def endings(pieces: Pieces, severity: float, around: Surroundings) -> Pieces:
    """Replace words by another form of the same stem; words without one stay."""
    out = list(pieces)
    for i in picked(severity, pieces, around.rng):
        form = around.lexicon.other_form(out[i].text, around.rng)
        if form:
            out[i] = replace(out[i], text=form, credit=out[i].credit * WRONG_ENDING)
    return out


def typing(pieces: Pieces, severity: float, around: Surroundings) -> Pieces:
    """Drop, double or swap a letter; words of one letter stay."""
    out = list(pieces)
    for i in picked(severity, pieces, around.rng):
        text, at = out[i].text, around.rng.randrange(max(1, len(out[i].text) - 1))
        pair = text[at : at + 2]
        noisy = (
            text[:at] + around.rng.choice([pair[1:], pair[0] + pair, pair[::-1]]) + text[at + 2 :]
        )
        if len(text) > 1 and noisy != text:
            out[i] = replace(out[i], text=noisy, credit=out[i].credit * TYPING_ERROR)
    return out


STEPS: dict[str, Callable[[Pieces, float, Surroundings], Pieces]] = {
    f.__name__: f
    for f in (drop, truncate, shuffle_near, shuffle_all, wrong_words, wrong_content, foreign_words,
              untranslated, wander, insert, repeat, endings, typing)
}  # fmt: skip
STAND_INS = ("near", "unrelated", "copy", "other_language", "empty")


def degrade(kinds: Sequence[str], text: str, severity: float, around: Surroundings) -> Degraded:
    """Apply steps (keys of `STEPS`) one after the other; none: the unchanged text, label 1.

    `severity` in [0, 1] is the share of words that each step changes. Randomness is from
    `around.rng` alone.
    """
    if not kinds:
        return Degraded(text, 1.0, "same")
    words, end = split(text)
    pieces = [Piece(w, i) for i, w in enumerate(words)]
    for kind in kinds:
        if pieces:
            pieces = STEPS[kind](pieces, severity, around)
    out = " ".join(p.text for p in pieces)
    label = quality(words, pieces, around.lexicon)
    return Degraded(out[:1].upper() + out[1:] + end if out else "", label, "+".join(kinds))


def stand_in(kind: str, reference: str, around: Surroundings) -> Degraded:
    """A whole text in place of the translation, one of `STAND_INS`.

    Label 0 for an unrelated sentence, a copy of the source, a translation into the other language
    and an empty text; `near`, a fluent sentence with a content word in common, gets `NEAR_MISS`
    times the rule's label for the words they share.
    """
    if kind == "near":
        text, words = around.lexicon.sentence_like(reference, around.rng), split(reference)[0]
        label = NEAR_MISS * quality(words, matched(text, words), around.lexicon)
        return Degraded(text, label, kind)
    texts = {"copy": around.source, "other_language": around.other_language, "empty": ""}
    text = around.lexicon.any_sentence(around.rng) if kind == "unrelated" else texts[kind]
    return Degraded(text, 0.0, kind)
