"""Whether a text of a corpus occurs in an evaluation set.

Two texts overlap when they are equal except for case, punctuation, symbols and white space. If both
are long, they also overlap when they share at least 70 % of the 8-word n-grams of the one that has
fewer (the rule of PaLM, Chowdhery et al. 2022, section 8, applied to each text alone). So a
sentence within a document is found, whichever of the two is the evaluation text. In scripts without
spaces between words an n-gram has 16 characters. Texts under 3 words (6 characters) occur in every
corpus and are ignored.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from mtray.data.evaluation_texts import EvaluationText, evaluation_texts
from mtray.schema import Study

RUN_WORDS, RUN_CHARACTERS = 8, 16
LEAST_WORDS, LEAST_CHARACTERS = 3, 6
SHARE = 0.7

# Thai and Lao, Burmese, Khmer, kana, Han
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
# labels in a line of a prompt: `English: `, as templates begin, and the arrow of few-shot lines
LABEL = re.compile(r"^[^:\n]{1,40}: | ->(?: |$)")


class _Letters(dict[int, str]):
    """For `str.translate`: punctuation, symbols, separators and controls become spaces. Marks stay,
    since Indic vowel signs are marks."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        self[code] = " " if unicodedata.category(letter)[0] in "PSZC" else letter
        return self[code]


_LETTERS = _Letters()


def normalised(text: str) -> str:
    """Words in lower case, separated by single spaces."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().translate(_LETTERS).split())


def tokens_of(plain: str) -> tuple[list[str], int, int]:
    """The units of n-grams (words, or characters where most are of a script without spaces), the
    length of an n-gram, and the fewest units of a text that is not ignored."""
    if not plain.isascii() and 2 * len(UNSPACED.findall(plain)) > len(plain):
        return list(plain.replace(" ", "")), RUN_CHARACTERS, LEAST_CHARACTERS
    return plain.split(), RUN_WORDS, LEAST_WORDS


def _runs(parts: list[str], length: int) -> set[int]:
    """Hashes of all n-grams; none where the text is shorter than one."""
    return {hash(tuple(parts[i : i + length])) for i in range(len(parts) - length + 1)}


def pieces(text: str) -> Iterator[str]:
    """A text; if it has several lines, as prompts do, also each line and what surrounds the labels
    in it."""
    yield text
    if "\n" in text:
        for line in text.split("\n"):
            yield line
            if LABEL.search(line):
                yield from LABEL.split(line)


class Overlap(NamedTuple):
    """A text of a corpus and the evaluation text that it overlaps with."""

    text: str
    found: EvaluationText


class EvaluationIndex:
    """An index of the evaluation texts. Memory: about 100 bytes for each of their words."""

    def __init__(self, texts: Iterable[EvaluationText]) -> None:
        self._texts: list[EvaluationText] = []
        self._exact: dict[str, int] = {}
        self._by_run: dict[int, tuple[int, ...]] = {}
        self._runs: list[int] = []
        digest = hashlib.sha256()
        # scored texts first: they are the ones reported as overlapping
        for found in sorted(texts, key=lambda found: found.shown):
            plain = normalised(found.text)
            parts, _, least = tokens_of(plain)
            if len(parts) < least or plain in self._exact:
                continue
            self._exact[plain] = len(self._texts)
            self._texts.append(found._replace(text=found.text[:200]))
            self._add_runs(plain)
            digest.update(f"{plain}\t{found.shown}\n".encode("utf-8", "surrogatepass"))
        self.signature = digest.hexdigest()

    def _add_runs(self, plain: str) -> None:
        parts, length, _ = tokens_of(plain)
        runs = _runs(parts, length)
        for run in runs:
            self._by_run[run] = (*self._by_run.get(run, ()), len(self._runs))
        self._runs.append(len(runs))

    def __len__(self) -> int:
        return len(self._texts)

    def __getstate__(self) -> dict[str, Any]:
        """Without what depends on the hashes of strings, which differ between processes."""
        return {"_texts": self._texts, "_exact": self._exact, "signature": self.signature}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _by_run={}, _runs=[])
        for plain in self._exact:  # in the order of their numbers
            self._add_runs(plain)

    def find(self, text: str) -> Overlap | None:
        """The evaluation text that this one overlaps with; scored ones take precedence over
        shots."""
        best: EvaluationText | None = None
        for number in self._candidates(text):
            found = self._texts[number]
            if not found.shown:
                return Overlap(text, found)
            best = best or found
        return None if best is None else Overlap(text, best)

    def _candidates(self, text: str) -> Iterator[int]:
        whole = normalised(text)
        for piece in pieces(text):
            plain = whole if piece is text else normalised(piece)
            if plain in self._exact:
                yield self._exact[plain]
        parts, length, _ = tokens_of(whole)
        if len(parts) < length:
            return
        runs = _runs(parts, length)
        shared = Counter(n for run in runs for n in self._by_run.get(run, ()))
        for number in sorted(shared):
            if shared[number] >= SHARE * min(len(runs), self._runs[number]):
                yield number


def evaluation_index(study: Study) -> EvaluationIndex:
    """The index of all evaluation sets of a study."""
    return EvaluationIndex(evaluation_texts(study))
