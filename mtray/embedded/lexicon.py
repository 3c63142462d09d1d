"""Statistics of one language's words from its sentences; `mtray.embedded.degrade` draws from it."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

FUNCTION_WORDS = 60  # number of a language's most frequent words that weigh `FUNCTION_WEIGHT`
FUNCTION_WEIGHT = 0.5
FREQUENT = 4000  # ranks that wrong words are drawn from
NEGATIONS = {
    "not", "no", "never", "nothing", "nobody", "nunca", "nada", "nadie",
    "не", "ні", "ніколи", "нічого", "ніхто",
}  # fmt: skip
PUNCTUATION = ".,;:!?…¿¡\"'«»“”„()[]—–-"


def key(word: str) -> str:
    """The form in which words are compared: lower case, without surrounding punctuation."""
    return word.strip(PUNCTUATION).lower()


def split(text: str) -> tuple[list[str], str]:
    """Words, and the punctuation at the text's end."""
    body = text.rstrip(PUNCTUATION + " ")
    return body.split(), text[len(body) :].strip()


def stem(word: str) -> str:
    """A crude stem for finding a word's other forms: two thirds of it, at least four letters."""
    return word[: max(4, len(word) * 2 // 3)]


class Lexicon:
    """Statistics of one language's words from its sentences."""

    def __init__(self, sentences: Sequence[str]) -> None:
        self.sentences = list(sentences)
        self.holding: dict[str, list[int]] = defaultdict(list)
        for number, sentence in enumerate(self.sentences):
            for word in dict.fromkeys(k for k in map(key, sentence.split()) if k):
                self.holding[word].append(number)
        counts = Counter({word: len(numbers) for word, numbers in self.holding.items()})
        ranked = sorted(counts, key=lambda w: (-counts[w], w))
        self.function = set(ranked[:FUNCTION_WORDS]) - NEGATIONS
        self.frequent = [w for w in ranked[:FREQUENT] if w not in self.function]
        self.forms: dict[str, list[str]] = defaultdict(list)
        for word in ranked:
            if len(word) >= 4 and counts[word] >= 2:
                self.forms[stem(word)].append(word)

    def weight(self, word: str) -> float:
        return FUNCTION_WEIGHT if key(word) in self.function else 1.0

    def any_word(self, rng: random.Random) -> str:
        """A content word, frequent ones more often (log-uniform over ranks)."""
        return self.frequent[int(len(self.frequent) ** rng.random()) - 1]

    def other_form(self, word: str, rng: random.Random) -> str | None:
        others = [w for w in self.forms.get(stem(key(word)), ()) if w != key(word)]
        return rng.choice(others) if others else None

    def any_sentence(self, rng: random.Random) -> str:
        return rng.choice(self.sentences)

    def sentence_like(self, reference: str, rng: random.Random) -> str:
        """Another sentence with one of the reference's content words; any sentence if there is
        none."""
        content = [k for k in map(key, split(reference)[0]) if k and k not in self.function]
        shared = self.holding.get(rng.choice(content), []) if content else []
        drawn = (self.sentences[i] for i in rng.sample(shared, min(2, len(shared))))
        # if sentences are distinct, at least one of two drawn is not the reference
        return next((text for text in drawn if text != reference), self.any_sentence(rng))
