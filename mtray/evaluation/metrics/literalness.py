"""How literally idioms are translated. For all metrics except Score_MWE lower is better.

LitTER (Baziotis et al. 2023, 2210.04545), as in its code: the dictionary translations of an idiom's
words are blocked, except those of words that the reference itself translates in this way. An output
that contains a blocked translation is a literal translation error. A word without an entry blocks
nothing, so a small dictionary lowers the rate: report its coverage. Not implemented: lemmas,
word2word, Chinese script variants. Tokens are those of Moses, without its escapes (`'`, not
`&apos;`).

Score_MWE, as in the same code: the edit distance from the words of the reference's idiom to the
nearest words of the output.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein, Prefix

from mtray.analysis.uncertainty import Measurement, mean_measurement
from mtray.data.benchmarks.idioms import Dictionary, MarkedIdiom
from mtray.data.languages import WITHOUT_SPACES
from mtray.errors import ConfigError, EvaluationError
from mtray.evaluation.metrics.output_failures import without_punctuation
from mtray.evaluation.metrics.quality import document_clusters

FUZZY_SIMILARITY, FUZZY_DISTANCE = 0.8, 2


@functools.cache
def moses(language: str) -> Callable[[str], list[str]]:
    """The tokenizer of a language. Raises ConfigError for one that is written without spaces."""
    from sacremoses import MosesTokenizer

    if language in WITHOUT_SPACES:
        raise ConfigError(f"LitTER and Score_MWE need words, and {language!r} has no spaces")
    tokenize = MosesTokenizer(lang=language).tokenize
    return lambda text: list(tokenize(text, aggressive_dash_splits=True, escape=False))


@dataclass(frozen=True)
class Matching:
    """LitTER's switches; the published runs lower-case and strip accents.

    compounds: any two translations written together are blocked, too.
    partial: also a compound with a blocked word whose rest is in the dictionary.
    fuzzy: a few edits may differ.
    drop_repeated: words of the idiom that occur elsewhere in the source are ignored.
    """

    lower: bool = True
    strip_accents: bool = True
    compounds: bool = False
    partial: bool = False
    fuzzy: bool = False
    drop_repeated: bool = False
    stop_words: frozenset[str] = frozenset()

    def bag(self, tokens: Sequence[str]) -> set[str]:
        return {self._form(token) for token in tokens}

    def _form(self, token: str) -> str:
        token = token.lower() if self.lower else token
        if not self.strip_accents:
            return token
        decomposed = unicodedata.normalize("NFKD", token)
        return "".join(c for c in decomposed if not unicodedata.combining(c))

    def common(self, words: Set[str], among: Set[str]) -> set[str]:
        """The words that are among the others, or, with `fuzzy`, close enough to one of the nearest
        of them."""
        if not self.fuzzy:
            return set(words & among)
        return {word for word in words if _is_near(word, among)}

    def signature(self) -> str:
        switches = ["compounds", "partial", "fuzzy", "drop_repeated"]
        on = [s for s in switches if getattr(self, s)] + ["stop_words"] * bool(self.stop_words)
        return (
            f"tok:moses-sacremoses-{version('sacremoses')}|unit:word"
            f"|case:{'low' if self.lower else 'mixed'}|acc:{'no' if self.strip_accents else 'yes'}"
            f"|{'+'.join(on) or 'exact'}"
        )


def _is_near(word: str, among: Set[str]) -> bool:
    distances = {other: Levenshtein.distance(word, other) for other in among}
    least = min(distances.values(), default=FUZZY_DISTANCE + 1)
    similarity = round(max(0.0, 1 - least / len(word)), 2)
    if least > FUZZY_DISTANCE or similarity < FUZZY_SIMILARITY:
        return False
    nearest = (other for other, distance in distances.items() if distance == least)
    prefixes = (round(Prefix.similarity(word, other) / len(word), 2) for other in nearest)
    return any(prefix / similarity >= FUZZY_SIMILARITY for prefix in prefixes)


class Sentence(NamedTuple):
    """Tokens of the idiom (the source's last span), of the rest of the source, of the reference and
    of the output."""

    idiom: Sequence[str]
    rest: Sequence[str]
    reference: Sequence[str]
    output: Sequence[str]


class Verdict(NamedTuple):
    """Whether the idiom was translated literally, the number of its words that were looked up, and
    the number of those in the dictionary."""

    error: bool
    words: int
    known: int


def literal_error(
    sentence: Sentence,
    dictionary: Dictionary,
    matching: Matching,
    vocabulary: Set[str] = frozenset(),
) -> Verdict | None:
    """LitTER's decision on one sentence; None, to be skipped, if no word of the idiom is left.
    `vocabulary`: the target words of the dictionary, for `partial` (see `target_words`)."""
    rest = matching.bag(sentence.rest) if matching.drop_repeated else set()
    candidates = {
        word: matching.bag(dictionary.translations(word))
        for word in sentence.idiom
        if without_punctuation(word).strip()
        and not matching.bag([word]) & rest
        and word not in matching.stop_words
    }
    if not candidates:
        return None
    reference, output = matching.bag(sentence.reference), matching.bag(sentence.output)
    known = sum(bool(found) for found in candidates.values())
    # fuzzy matching is asymmetric: it searches for the reference's words
    kept = [t for t in candidates.values() if t and not matching.common(reference, t)]
    blocked = set().union(*kept)
    error = bool(matching.common(blocked, output))
    if matching.compounds and not error:
        every = set().union(*candidates.values())
        pairs = {a + b for a, b in product(every, every) if a != b}
        error = bool(matching.common(pairs - matching.common(pairs, reference), output))
    if matching.partial and not error:
        error = bool(_parts(blocked, output, vocabulary) - _parts(blocked, reference, vocabulary))
    return Verdict(error, len(candidates), known)


def _parts(words: Set[str], compounds: Set[str], vocabulary: Set[str]) -> set[str]:
    """The words that begin or end a compound whose rest is a word of the vocabulary."""
    return {
        word
        for word, compound in product(words, compounds)
        if compound.startswith(word) or compound.endswith(word)
        if compound.replace(word, "") in vocabulary
    }


def target_words(dictionary: Dictionary, matching: Matching) -> frozenset[str]:
    """Every translation of the dictionary."""
    return frozenset(matching.bag([t for found in dictionary.entries.values() for t in found]))


def litter(
    verdicts: Sequence[Verdict | None], labels: Sequence[str], matching: Matching
) -> dict[str, Measurement]:
    """LitTER, 0 to 1, lower is better: `micro` is the share of errors, with intervals over labels;
    `macro` the mean over labels of their shares. Raises EvaluationError if all were skipped."""
    found = [(label, v.error) for label, v in zip(labels, verdicts, strict=True) if v is not None]
    if not found:
        raise EvaluationError("LitTER: no sentence has an idiom with words to look up")
    names, errors = [label for label, _ in found], np.array([e for _, e in found], dtype=float)
    by_label = [errors[np.array(names) == name].mean() for name in sorted(set(names))]
    signature = f"LitTER|{matching.signature()}|avg"
    return {
        "micro": mean_measurement(errors, f"{signature}:micro", document_clusters(names)),
        "macro": mean_measurement(by_label, f"{signature}:macro"),
    }


def score_mwe(reference: Sequence[str], output: Sequence[str]) -> float:
    """Score_MWE of one sentence, 0 to 1, higher is better: 1 - the mean over the reference's tokens
    of min(1, edits to the nearest token of the output / own length); 0 for an empty output. Raises
    EvaluationError for an empty reference, which the caller must leave out."""
    if not reference:
        raise EvaluationError("Score_MWE: an empty reference span has no score")
    if not output:
        return 0.0
    return 1 - sum(
        min(1.0, min(Levenshtein.distance(r, h) for h in output) / len(r)) for r in reference
    ) / len(reference)


def verdicts(
    texts: tuple[Sequence[str], Sequence[str], Sequence[str]],
    marked: Sequence[MarkedIdiom | None],
    languages: tuple[str, str],
    dictionary: Dictionary,
    matching: Matching,
) -> list[Verdict | None]:
    """LitTER's decisions on sources, references and outputs; None if nothing is marked. Only the
    last span of a sentence counts."""
    source_tokens, target_tokens = map(moses, languages)
    vocabulary = target_words(dictionary, matching) if matching.partial else frozenset[str]()
    found: list[Verdict | None] = []
    for source, reference, output, mark in zip(*texts, marked, strict=True):
        if mark is None:
            found.append(None)
            continue
        start, end = mark.spans[-1]
        sentence = Sentence(
            source_tokens(source[start:end]),
            source_tokens(source[:start] + source[end:]),
            target_tokens(reference),
            target_tokens(output),
        )
        found.append(literal_error(sentence, dictionary, matching, vocabulary))
    return found


def mwe_scores(
    texts: tuple[Sequence[str], Sequence[str]],
    marked: Sequence[Sequence[MarkedIdiom | None]],
    language: str,
) -> Measurement:
    """Mean Score_MWE over the references that have a span, from references and outputs; the tokens
    of all spans of a sentence count. Intervals are over labels. Raises EvaluationError if none has
    a span."""
    tokenize, scores, labels = moses(language), [], []
    for reference, output, in_reference, in_output in zip(*texts, *marked, strict=True):
        wanted = _inside(reference, in_reference, tokenize)
        if in_reference is not None and wanted:
            scores.append(score_mwe(wanted, _inside(output, in_output, tokenize)))
            labels.append(in_reference.label)
    if not scores:
        raise EvaluationError("Score_MWE: no reference has a span")
    signature = f"Score_MWE|tok:moses-sacremoses-{version('sacremoses')}"
    return mean_measurement(scores, signature, document_clusters(labels))


def _inside(
    text: str, marked: MarkedIdiom | None, tokenize: Callable[[str], list[str]]
) -> list[str]:
    spans = marked.spans if marked else ()
    return [token for start, end in spans for token in tokenize(text[start:end])]
