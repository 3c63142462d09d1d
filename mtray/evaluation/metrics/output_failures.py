"""Labels translations that fail outright, after mFTI (Li et al. 2023, section 4.4 of its analysis),
and their rates.

There are two forms. `coded` are the rules as in that paper's code, in its order:

    oscillation        two adjacent equal n-grams and at least one more token after them
    template           any [...] (the split that it checks keeps the bracket itself as a part)
    copy               sentence BLEU of the output against the source above 50
    off_target         the words cut in half: neither both halves in the source language nor both in
                       the target language
    under_translation  fewer than half the reference's words (characters in Chinese)
    over_translation   more than twice as many

Known errors: "very very good" oscillates, text wholly in the source language is not off target,
Chinese has an empty half. `strict` are the rules behind the scores of a study:

    empty              no letter and no number, if the reference has one; excludes the other labels
    oscillation        an n-gram (n 1 to 6) three times or more in a row, six tokens at least,
                       unless the reference oscillates, too
    template           a language's English name in square brackets
    copy               as above, unless the reference is as close to the source
    off_target         the whole text is surely in another language (`languages.other_language`)
    under_, over_      as above, characters in all languages written without spaces

An output has every label that applies; `first` is that of the earliest rule. Both forms use the
same detector (the paper: fastText). Punctuation is found by Unicode category: `\\w`, as in the
paper's code, removes the vowel signs from Indic text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from typing import Any

import numpy as np

from mtray.analysis.uncertainty import Measurement, share_measurement
from mtray.data.language_names import names
from mtray.data.languages import WITHOUT_SPACES, Guess, candidates, identify, knows, other_language
from mtray.data.readers.paragraphs import joined
from mtray.errors import EvaluationError
from mtray.evaluation.metrics.quality import Clusters

CODED = ("oscillation", "template", "copy", "off_target", "under_translation", "over_translation")
STRICT = ("empty", *CODED)
FORMS = {"strict": STRICT, "coded": CODED}
COPY_BLEU = 50.0
CODED_TOKENIZER = "13a"  # sacrebleu's default
LONGEST_NGRAM, LEAST_REPEATS, LEAST_TOKENS = 6, 3, 6

Labels = tuple[str, ...]


def without_punctuation(text: str, instead: str = " ") -> str:
    """`text` with punctuation and symbols (Unicode P*, S*) replaced."""
    return "".join(instead if unicodedata.category(c)[0] in "PS" else c for c in text)


def tokens(text: str, segmented: bool) -> list[str]:
    """Words without punctuation, or the characters of a language written without spaces."""
    words = without_punctuation(text).split()
    return words if segmented else list("".join(words))


def repeats_adjacent(found: Sequence[str]) -> bool:
    """As coded: an n-gram of any length equals the next one, and a token follows the two."""
    for n in range(1, len(found) // 2 + 1):
        run = 0
        for i in range(len(found) - n - 1):
            run = run + 1 if found[i] == found[i + n] else 0
            if run == n:
                return True
    return False


def oscillates(found: Sequence[str]) -> bool:
    """Strict: the same n-gram three times or more in a row, at least six tokens in all."""
    for n in range(1, LONGEST_NGRAM + 1):
        repeats = max(LEAST_REPEATS, -(-LEAST_TOKENS // n))
        run = 0
        for i in range(len(found) - n):
            run = run + 1 if found[i] == found[i + n] else 0
            if run == n * (repeats - 1):
                return True
    return False


def length_label(output: int, reference: int) -> Labels:
    """The label of an output of this many words or characters, or none."""
    if 2 * output < reference:
        return ("under_translation",)
    return ("over_translation",) if output > 2 * reference else ()


def halves(text: str) -> tuple[str, str]:
    """The two halves of a text's words, without punctuation; the middle word is in the second."""
    words = without_punctuation(text, "").split()
    middle = len(words) // 2
    return " ".join(words[:middle]), " ".join(words[middle:])


def copy_rule(tokenizer: str) -> Callable[[str, str], bool]:
    """A predicate: whether a text is a copy of a source, that is, its sentence BLEU against it is
    above 50."""
    from sacrebleu.metrics import BLEU

    metric: Any = BLEU(tokenize=tokenizer, effective_order=True)
    return lambda text, source: bool(
        metric.sentence_score(joined(text), [joined(source)]).score > COPY_BLEU
    )


def copy_tokenizer(source_language: str) -> str:
    """The tokenizer of the strict form: characters for a source language written without spaces."""
    return "char" if source_language in WITHOUT_SPACES else CODED_TOKENIZER


def copies(
    sources: Sequence[str], outputs: Sequence[str], references: Sequence[str], language: str
) -> tuple[list[bool], list[bool]]:
    """Which outputs are copies of their source, in that `language`: in the strict form, and as
    coded, by words in any language."""
    tokenizer = copy_tokenizer(language)
    is_copy = copy_rule(tokenizer)
    coded = list(map(copy_rule(CODED_TOKENIZER), outputs, sources))
    near = coded if tokenizer == CODED_TOKENIZER else list(map(is_copy, outputs, sources))
    strict = [
        found and not is_copy(reference, source)
        for found, reference, source in zip(near, references, sources, strict=True)
    ]
    return strict, coded


def _coded(
    pair: tuple[str, str], output: str, reference: str, parts: Sequence[Guess], copied: bool
) -> Labels:
    """Labels in the paper's order; `parts` are the detector's guesses for the two halves."""
    by_character = pair[1] == "zh"
    found = list("".join(output.split())) if by_character else output.split()
    expected = "".join(reference.split()) if by_character else reference.split()
    labels = ["oscillation"] if repeats_adjacent(found) else []
    labels += ["template"] if len(re.split(r"(\[.*?\])", output)) > 2 else []
    labels += ["copy"] if copied else []
    if parts and not any(all(p.language == code for p in parts) for code in pair):
        labels.append("off_target")
    return (*labels, *length_label(len(found), len(expected)))


@cache
def _language_tag() -> re.Pattern[str]:
    """Of the languages with a code of two letters: names of others (Are, Day, Even) are words as
    well. Made when it is needed: reading the names takes .4 s."""
    tagged = sorted({re.escape(name) for code, name in names().items() if len(code) == 2})
    return re.compile(rf"\[({'|'.join(tagged)})\b[^\[\]]*\]")


def _strict(target: str, output: str, reference: str, guess: Guess | None, copied: bool) -> Labels:
    segmented = target not in WITHOUT_SPACES
    found, expected = tokens(output, segmented), tokens(reference, segmented)
    if expected and not found:
        return ("empty",)
    labels = ["oscillation"] if oscillates(found) and not oscillates(expected) else []
    labels += ["template"] if _language_tag().search(output) else []
    labels += ["copy"] if copied else []
    labels += ["off_target"] if guess and other_language(output, guess, target) else []
    return (*labels, *length_label(len(found), len(expected)))


@dataclass(frozen=True)
class FailureLabels:
    """Labels of every output by form, each in the order of its rules, and the kinds that were
    checked: `off_target` is omitted if the detector does not know a language."""

    labels: Mapping[str, list[Labels]]
    kinds: Mapping[str, tuple[str, ...]]
    detector: str

    def measurements(self, form: str, clusters: Clusters = None) -> dict[str, Measurement]:
        """The share of outputs with each label, 0 to 1, lower is better, and with `any`."""
        found = self.labels[form]
        flags = {kind: [kind in labels for labels in found] for kind in self.kinds[form]}
        flags["any"] = [bool(labels) for labels in found]
        return {
            kind: share_measurement(
                np.array(values, dtype=np.float64),
                f"share|{kind}|form:{form}|lid:{self.detector}",
                clusters,
            )
            for kind, values in flags.items()
        }

    def counts(self) -> dict[str, float]:
        """`<form>.<kind>`: outputs with the label; `<form>.first.<kind>`: outputs of which it is
        the first."""
        counted: dict[str, float] = {}
        for form, found in self.labels.items():
            for kind in self.kinds[form]:
                counted[f"{form}.{kind}"] = float(sum(kind in labels for labels in found))
                first = sum(labels[:1] == (kind,) for labels in found)
                counted[f"{form}.first.{kind}"] = float(first)
        return counted


def judge(
    sources: Sequence[str],
    outputs: Sequence[str],
    references: Sequence[str],
    source_language: str,
    target_language: str,
) -> FailureLabels:
    """Label every output. Raises EvaluationError unless the lists have the same, non-zero
    length."""
    if not len(sources) == len(outputs) == len(references) or not sources:
        raise EvaluationError(
            f"failures: {len(sources)} sources, {len(outputs)} outputs, {len(references)} "
            "references; expected equally many of each, at least one"
        )
    pair = (source_language, target_language)
    among = candidates(*pair)
    known = {"strict": knows(target_language), "coded": all(map(knows, pair))}
    whole = identify(outputs, among) if known["strict"] else [None] * len(outputs)
    parts: list[list[Guess]] = [[] for _ in outputs]
    if known["coded"]:
        guesses = identify([half for text in outputs for half in halves(text)], among)
        parts = [guesses[i : i + 2] for i in range(0, len(guesses), 2)]
    copied, copied_coded = copies(sources, outputs, references, source_language)
    labels = {
        "strict": list(map(partial(_strict, target_language), outputs, references, whole, copied)),
        "coded": list(map(partial(_coded, pair), outputs, references, parts, copied_coded)),
    }
    kinds = {
        form: tuple(k for k in kinds if k != "off_target" or known[form])
        for form, kinds in FORMS.items()
    }
    detector = f"lingua-{version('lingua-language-detector')}:{','.join(among)}"
    return FailureLabels(labels, kinds, detector)
