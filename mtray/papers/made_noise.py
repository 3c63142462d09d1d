"""Noise for parallel text, made from parallel text alone: a dictionary for word-by-word glosses,
and a translation memory as the weaker system: its translations are fluent, but of another sentence.

The paper does not say how its noise was made, so this construction is our own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from math import log

from mtray.embedded.lexicon import key

Pairs = Sequence[tuple[str, str]]
LEAST = 2  # sentence pairs that hold both words of an entry
RAREST = 4  # words of a sentence by which the memory is searched
UNKNOWN = 10.0  # weight of a word that the memory does not hold: about that of its rarest
NEAR = 200  # sentences of a word that are compared, the first ones


def words(text: str) -> list[str]:
    """The different words of a text, lower-cased and without punctuation, in their order."""
    return list(dict.fromkeys(found for found in map(key, text.split()) if found))


def dictionary(pairs: Pairs) -> dict[str, str]:
    """A translation of every word of the first sides: the word of the second sides with the
    greatest Dice coefficient, 2 c(a, b) / (c(a) + c(b)), of the numbers of pairs that hold them
    (Smadja et al. 1996, Computational Linguistics 22:1). Ties go to the more frequent word, then
    the alphabet's first."""
    first: Counter[str] = Counter()
    second: Counter[str] = Counter()
    both: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for a, b in pairs:
        left, right = words(a), words(b)
        first.update(left)
        second.update(right)
        for word in left:
            both[word].update(right)
    found = {}
    for word, beside in both.items():
        known = [
            (-2 * n / (first[word] + second[other]), -second[other], other)
            for other, n in beside.items()
            if n >= LEAST
        ]
        if known:
            found[word] = min(known)[2]
    return found


def from_memory(texts: Iterable[str], memory: Pairs) -> list[str]:
    """For every text, the second side of the pair whose first side is most similar but not equal.
    Similarity is a weighted Jaccard index: the weights of the common words over those of all words
    of both, with weight log(1 + N / n) for a word that is in n of N sentences. A text without known
    words gets the translations of the memory in turn."""
    sides = [words(a) for a, _ in memory]
    holding: defaultdict[str, list[int]] = defaultdict(list)
    for place, side in enumerate(sides):
        for word in side:
            holding[word].append(place)
    weights = {word: log(1 + len(memory) / len(places)) for word, places in holding.items()}
    return [
        memory[_nearest(words(text), sides, holding, weights, turn)][1]
        for turn, text in enumerate(texts)
    ]


def _nearest(
    found: Sequence[str], sides: Sequence[Sequence[str]], holding: dict[str, list[int]],
    weights: dict[str, float], turn: int,
) -> int:  # fmt: skip
    known = sorted((w for w in found if w in weights), key=lambda w: (-weights[w], w))[:RAREST]
    places = dict.fromkeys(place for word in known for place in holding[word][:NEAR])
    scored = [
        (-_similarity(found, sides[place], weights), place)
        for place in places
        if set(sides[place]) != {*found}
    ]
    return min(scored)[1] if scored else turn % len(sides)


def _similarity(a: Sequence[str], b: Sequence[str], weights: dict[str, float]) -> float:
    def weight_of(found: set[str]) -> float:
        return sum(weights.get(word, UNKNOWN) for word in found)

    return weight_of({*a} & {*b}) / weight_of({*a, *b})
