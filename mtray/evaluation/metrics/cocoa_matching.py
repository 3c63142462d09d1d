"""The register of an output, by the phrases of CoCoA-MT's annotated references (Nadejde et al.
2022), and the values computed from these labels.

An output is FORMAL if it contains at least one formal phrase and no informal one, INFORMAL vice
versa, NEUTRAL with none and OTHER with both. "Contains" has two forms: `official`, as in the
published scorer, and `normalised`, which also finds phrases next to punctuation and at a sentence's
start. For one requested register, with `correct` the outputs labelled as requested:

    coverage           (FORMAL + INFORMAL) / sentences
    accuracy           correct / (FORMAL + INFORMAL), 0 if nothing matches: the published M-Acc
    guarded accuracy   accuracy * min(1, coverage / coverage of the references)
    strict accuracy    correct / sentences, of those sentences whose own reference is correct

Accuracy ignores NEUTRAL and OTHER, so that a system that avoids all phrases but one can have 1.0.
The guard and the strict form prevent that.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mtray.analysis.uncertainty import Array, Measurement
from mtray.data.benchmarks.cocoa_mt import REGISTERS, phrases, plain
from mtray.data.languages import WITHOUT_SPACES
from mtray.data.readers.paragraphs import joined

LABELS = ("FORMAL", "INFORMAL", "NEUTRAL", "OTHER")
# written without spaces between words: phrases are searched as substrings, as the official scorer
# does for Japanese
MODIFIER_APOSTROPHE = "\u02bc"  # a letter in Unicode, but typed as the apostrophe of п'ять


def normalised(text: str) -> str:
    """Lower case, punctuation and symbols (Unicode categories P*, S*) replaced by spaces, single
    spaces.

    By category and not by `\\w`, which drops the vowel signs of Indic scripts.
    """
    text = unicodedata.normalize("NFC", text).lower()
    kept = (
        " " if c == MODIFIER_APOSTROPHE or unicodedata.category(c)[0] in "PS" else c for c in text
    )
    return " ".join("".join(kept).split())


def _label(formal: bool, informal: bool) -> str:
    if formal and informal:
        return "OTHER"
    return "FORMAL" if formal else "INFORMAL" if informal else "NEUTRAL"


def label_official(
    hypothesis: str, formal: Sequence[str], informal: Sequence[str], segmented: bool = True
) -> str:
    """The label of CoCoA-MT's scorer: a phrase matches if the set of its tokens, split at single
    spaces, is a subset of the hypothesis' set; case and attached punctuation count. In unsegmented
    text it matches as a substring."""
    hypothesis = joined(hypothesis)
    tokens = set(hypothesis.split(" "))

    def holds(phrase: str) -> bool:
        return set(phrase.split(" ")) <= tokens if segmented else phrase in hypothesis

    return _label(any(map(holds, formal)), any(map(holds, informal)))


def label_normalised(
    hypothesis: str, formal: Sequence[str], informal: Sequence[str], segmented: bool = True
) -> str:
    """`label_official` after `normalised`, which finds phrases next to punctuation and at a
    sentence's start."""
    text = normalised(hypothesis)
    tokens, solid = set(text.split()), text.replace(" ", "")

    def holds(phrase: str) -> bool:
        words = normalised(phrase).split()
        return bool(words) and (set(words) <= tokens if segmented else "".join(words) in solid)

    return _label(any(map(holds, formal)), any(map(holds, informal)))


Labeller = Callable[[str, Sequence[str], Sequence[str], bool], str]
FORMS: dict[str, Labeller] = {"official": label_official, "normalised": label_normalised}


def label_counts(labels: Sequence[str]) -> dict[str, float]:
    """Counts of all labels, including those that do not occur."""
    return {label: float(labels.count(label)) for label in LABELS}


def _or_zero(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


def share(sums: Array) -> Array:
    """From (part, whole), shape (..., 2): their quotient, 0 if the whole is 0, as in the official
    scorer."""
    return _or_zero(sums[..., 0], sums[..., 1])


def guarded_share(sums: Array) -> Array:
    """From (correct, labelled outputs, labelled references), shape (..., 3): accuracy * min(1,
    coverage / coverage of the references), which is correct / the greater of the other two."""
    return _or_zero(sums[..., 0], np.maximum(sums[..., 1], sums[..., 2]))


def register_values(
    labels: Sequence[str], references: Sequence[str], register: str, signature: str
) -> dict[str, Measurement]:
    """`accuracy`, `guarded_accuracy`, `strict_accuracy`, `coverage` and `reference_coverage` (see
    the module) from the labels of the outputs for one requested register and of its own references.

    `strict_accuracy` is left out if no reference is correct: it would be a share of nothing.
    """
    matched = LABELS[:2]
    found, own = np.array(labels), np.array(references)
    wanted = matched[REGISTERS.index(register)]
    correct, scorable = found == wanted, own == wanted
    labelled, covered = np.isin(found, matched), np.isin(own, matched)
    every = np.ones(len(found))

    def of(value: Callable[[Array], Array], name: str, *columns: npt.NDArray[Any]) -> Measurement:
        stats = np.stack(columns, axis=1).astype(np.float64)
        return Measurement(
            stats, value, f"{name}|{signature}|register:{register}", bounds=(0.0, 1.0)
        )

    values = {
        "accuracy": of(share, "M-Acc", correct, labelled),
        "guarded_accuracy": of(guarded_share, "guarded-M-Acc", correct, labelled, covered),
        "coverage": of(share, "M-Acc-coverage", labelled, every),
        "reference_coverage": of(share, "M-Acc-coverage|of:references", covered, every),
    }
    if scorable.any():
        values["strict_accuracy"] = of(share, "strict-M-Acc", correct & scorable, scorable)
    return values


def one_register(
    hypotheses: Sequence[str],
    annotated: tuple[Sequence[str], Sequence[str]],
    language: str,
    register: str,
) -> tuple[dict[str, Measurement], dict[str, float]]:
    """`<form>.<value>` and `<form>.<label>` of outputs for one requested register, and
    `references.<form>.<label>`; `annotated` are the formal and the informal references."""
    expected = [(phrases(f), phrases(i)) for f, i in zip(*annotated, strict=True)]
    own = [plain(text) for text in annotated[REGISTERS.index(register)]]
    segmented = language not in WITHOUT_SPACES
    values: dict[str, Measurement] = {}
    counts: dict[str, float] = {}
    for form, label in FORMS.items():
        labels, references = (
            [label(text, *e, segmented) for text, e in zip(texts, expected, strict=True)]
            for texts in (hypotheses, own)
        )
        found = register_values(labels, references, register, f"lang:{language}|match:{form}")
        values |= {f"{form}.{name}": measurement for name, measurement in found.items()}
        counts |= {f"{form}.{k}": n for k, n in label_counts(labels).items()}
        counts |= {f"references.{form}.{k}": n for k, n in label_counts(references).items()}
    return values, counts


def _guarded(sums: Array, opposite_weight: float) -> Array:
    """(correct - weight * opposite) / max(labelled outputs, labelled references), the mean over
    both registers.

    `sums` are (correct, opposite, labelled references) of the formal and then of the informal
    register, shape (..., 6). The quotient is accuracy * guard for weight 0 and (2 * accuracy - 1) *
    guard for weight 1.
    """
    by_register = sums.reshape(*sums.shape[:-1], 2, 3)
    correct, opposite, references = (by_register[..., i] for i in range(3))
    denominator = np.maximum(correct + opposite, references)
    # nothing labelled in outputs and references, possible in a resample only: no correct output, so
    # 0
    shares = _or_zero(correct - opposite_weight * opposite, denominator)
    return np.asarray(shares.mean(axis=-1))


def guarded_accuracy(sums: Array) -> Array:
    """Shape (..., 6) -> (...), 0-1; see the ability."""
    return _guarded(sums, 0.0)


def control(sums: Array) -> Array:
    """Shape (..., 6) -> (...), -1 to 1; see the ability."""
    return _guarded(sums, 1.0)


def control_floor(formal: int, informal: int) -> float:
    """The maximum for a system that ignores the instruction, with `formal` and `informal` labelled
    references.

    With p FORMAL and q INFORMAL outputs under both instructions it has (p - q) * (1 / max(p + q,
    formal) - 1 / max(p + q, informal)) / 2. That is 0 if both references have the same coverage;
    otherwise at most this, at p + q = the lower coverage.
    """
    return (1 - min(formal, informal) / max(formal, informal)) / 2
