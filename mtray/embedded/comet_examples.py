"""Training and test examples of the embedded COMET: source, reference, a text in place of the
translation, and that text's quality label."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mtray.embedded.degrade import STEPS, Degraded, Surroundings, degrade, stand_in
from mtray.embedded.lexicon import Lexicon

DIRECTIONS = ("en-uk", "en-es", "es-en", "uk-en")
LANGUAGES = ("en", "es", "uk")
ANOTHER_REFERENCE = 0.9  # label of a second person's translation before any degradation
# frequency of the replacements of a translation, per cent; `steps` are those of `degrade.STEPS`
KINDS = {
    "same": 8, "near": 18, "unrelated": 6, "copy": 3, "other_language": 3, "empty": 1, "steps": 61,
}  # fmt: skip
OFTEN = {"shuffle_all": 2, "shuffle_near": 2, "wander": 2, "wrong_content": 2}  # other steps: 1


@dataclass(frozen=True)
class Item:
    """A source sentence with all its translations in one direction."""

    source: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class Example:
    direction: str
    src: str
    ref: str
    mt: str
    label: float
    kind: str

    @property
    def sample(self) -> dict[str, Any]:
        """As expected by comet's classes."""
        return {"src": self.src, "mt": self.mt, "ref": self.ref, "score": self.label}


def items(folder: Path, split: str) -> dict[str, list[Item]]:
    found: dict[str, dict[str, list[str]]] = {d: defaultdict(list) for d in DIRECTIONS}
    for pair in ("en-es", "en-uk"):
        first, second = pair.split("-")
        for row in pq.read_table(folder / f"parallel.{pair}.{split}.parquet").to_pylist():
            found[pair][row[first]].append(row[second])
            found[f"{second}-{first}"][row[second]].append(row[first])
    return {d: [Item(s, tuple(dict.fromkeys(t))) for s, t in f.items()] for d, f in found.items()}


def lexicons(data: dict[str, list[Item]]) -> dict[str, Lexicon]:
    texts: dict[str, dict[str, None]] = {code: {} for code in LANGUAGES}
    for direction, found in data.items():
        texts[direction[:2]] |= dict.fromkeys(i.source for i in found)
    return {code: Lexicon(list(t)) for code, t in texts.items()}


def example(direction: str, item: Item, words: dict[str, Lexicon], rng: random.Random) -> Example:
    """One example; half of those with a second reference start from it instead of the first."""
    target = direction[-2:]
    third = next(code for code in LANGUAGES if code not in direction.split("-"))
    around = Surroundings(rng, words[target], item.source, words[third].any_sentence(rng))
    ref, *others = rng.sample(item.references, len(item.references))
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    if kind in ("same", "steps"):
        count = 0 if kind == "same" else rng.choices((1, 2, 3), (6, 3, 1))[0]
        second = bool(others) and rng.random() < 0.5
        steps = rng.choices(list(STEPS), [OFTEN.get(step, 1) for step in STEPS], k=count)
        made = degrade(steps, others[0] if second else ref, rng.random(), around)
        if second:
            made = Degraded(made.text, made.label * ANOTHER_REFERENCE, f"second:{made.kind}")
    else:
        made = stand_in(kind, ref, around)
    return Example(direction, item.source, ref, made.text, made.label, made.kind)


def examples(
    data: dict[str, list[Item]], words: dict[str, Lexicon], count: int, seed: int
) -> list[Example]:
    """`count` examples, equally many per direction, each drawn anew."""
    rng = random.Random(seed)
    drawn = [(d, rng.choice(data[d])) for d in rng.choices(DIRECTIONS, k=count)]
    return [example(d, item, words, rng) for d, item in drawn]
