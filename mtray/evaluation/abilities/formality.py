"""Ability: translate in the register that is asked for (CoCoA-MT, Nadejde et al. 2022).

Every sentence is asked for twice, formal and informal. An output is labelled by the
register-bearing phrases of the two annotated references that it holds: FORMAL, INFORMAL, NEUTRAL
(none) or OTHER (of both). The official accuracy, correct / (FORMAL + INFORMAL), drops the last two,
so that a system that avoids every phrase wins. A guard takes that away, for each register:

    coverage = (FORMAL + INFORMAL) / sentences
    guard = min(1, coverage / coverage of the references)
    guarded accuracy = accuracy * guard                      0 where nothing matches
    control = (2 * accuracy - 1) * guard                     the value; the mean over both registers

Why control and not guarded accuracy: a system that ignores the instruction has the mean accuracy
1/2 and the guarded accuracy guard / 2, which rises with its coverage, that is, with any gain in
translation quality. No constant is then a floor: half the base model's guard lets a tuned model
that lost its register and covers more phrases stand above it, and 1/2 gives a base model of
coverage 0.6 no room at all. Control takes the guard / 2 off each system itself (and is doubled to
end at 1): whoever ignores the instruction has 0 at every coverage, whoever avoids the phrases has
0, the references have 1. Unit: -1 to 1.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mtray.analysis.uncertainty import Array, Measurement
from mtray.data.rendering import translation_prompt
from mtray.errors import DataError
from mtray.evaluation.abilities.base import (
    Context,
    Tools,
    check_outputs,
    evenly,
    languages_of,
    one_line,
    options_of,
    read_rows,
)
from mtray.evaluation.engine import Output, Request
from mtray.schema import AbilitySpec, Direction, Frozen

REGISTERS = ("formal", "informal")
LABELS = ("FORMAL", "INFORMAL", "NEUTRAL", "OTHER")
ANNOTATED = re.compile(r"\[F\](.*?)\[/F\]")
# written without spaces between words: phrases are looked for as parts of the text, as the official
# scorer does for Japanese
UNSEGMENTED = {"ja", "zh", "th"}
MODIFIER_APOSTROPHE = "\u02bc"  # a letter to Unicode, the apostrophe of п'ять to those who type it


def phrases(annotated: str) -> list[str]:
    """The texts between `[F]` and `[/F]`."""
    return ANNOTATED.findall(annotated)


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
    """The label as CoCoA-MT's scorer gives it: a phrase is there when the set of its tokens, split
    at single spaces, is part of the hypothesis' set; case and attached punctuation count.
    Unsegmented text: when it is a substring."""
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


def _guarded(sums: Array, opposite_weight: float) -> Array:
    """(correct - weight * opposite) / max(labelled outputs, labelled references), the mean over
    both registers.

    `sums` are (correct, opposite, labelled references) of the formal and then of the informal
    register, shape (..., 6). The quotient is accuracy * guard for weight 0 and (2 * accuracy - 1) *
    guard for weight 1."""
    by_register = sums.reshape(*sums.shape[:-1], 2, 3)
    correct, opposite, references = (by_register[..., i] for i in range(3))
    denominator = np.maximum(correct + opposite, references)
    # nothing labelled and nothing to label, possible in a resample only: no correct output, so 0
    shares = np.divide(
        correct - opposite_weight * opposite,
        denominator,
        out=np.zeros_like(denominator),
        where=denominator > 0,
    )
    return np.asarray(shares.mean(axis=-1))


def guarded_accuracy(sums: Array) -> Array:
    """Shape (..., 6) -> (...), 0-1; see the module."""
    return _guarded(sums, 0.0)


def control(sums: Array) -> Array:
    """Shape (..., 6) -> (...), -1 to 1; see the module."""
    return _guarded(sums, 1.0)


def control_floor(formal: int, informal: int) -> float:
    """The most a system can reach that ignores the instruction, `formal` and `informal` references
    being labelled.

    With p FORMAL and q INFORMAL outputs under both instructions it has (p - q) * (1 / max(p + q,
    formal) - 1 / max(p + q, informal)) / 2: nothing where both references cover alike, else at most
    this, at p + q = the lower coverage."""
    return (1 - min(formal, informal) / max(formal, informal)) / 2


@dataclass(frozen=True)
class Formality:
    """Two requests for each sentence, formal first. `expected` holds the phrases of both registers
    by sentence, `references` the texts."""

    name: str
    requests: list[Request]
    expected: list[tuple[list[str], list[str]]]
    references: list[tuple[str, str]]
    language: str
    floor: float

    def labels(self, texts: Sequence[str], form: str) -> list[str]:
        """Labels of texts that stand in the order of the requests."""
        label, segmented = FORMS[form], self.language not in UNSEGMENTED
        return [label(t, *self.expected[i // 2], segmented) for i, t in enumerate(texts)]

    def reference_labels(self, form: str) -> list[str]:
        return self.labels([text for pair in self.references for text in pair], form)

    def _statistics(self, outputs: Sequence[Output]) -> Array:
        """One row for each sentence, so that a resample keeps its two registers together."""
        check_outputs(self.name, self.requests, outputs)
        labels = np.array(self.labels([o.text for o in outputs], "normalised")).reshape(-1, 2)
        references = np.array(self.reference_labels("normalised")).reshape(-1, 2)
        columns: list[Any] = []
        for side, (wanted, other) in enumerate([LABELS[:2], LABELS[1::-1]]):
            columns += [labels[:, side] == wanted, labels[:, side] == other]
            columns.append(np.isin(references[:, side], LABELS[:2]))
        return np.asarray(np.stack(columns, axis=1), dtype=np.float64)

    def _signature(self, value: str) -> str:
        return f"{value}|lang:{self.language}|match:normalised|guard:references|registers:2"

    def measure(self, outputs: Sequence[Output], tools: Tools) -> Measurement:
        return Measurement(self._statistics(outputs), control, self._signature("register-control"))

    def extras(self, outputs: Sequence[Output], tools: Tools) -> dict[str, Measurement]:
        signature = self._signature("guarded-M-Acc")
        stats = self._statistics(outputs)
        return {"guarded_accuracy": Measurement(stats, guarded_accuracy, signature)}

    def counts(self, outputs: Sequence[Output]) -> dict[str, float]:
        """`<form>.<register asked for>.<label>` of the outputs, and `references.` before it of the
        references."""
        texts = [o.text for o in outputs]
        found: dict[str, float] = {"sentences": float(len(self.expected))}
        for form in FORMS:
            tables = {"": self.labels(texts, form), "references.": self.reference_labels(form)}
            for prefix, labels in tables.items():
                for side, register in enumerate(REGISTERS):
                    tally = Counter(labels[side::2])
                    for label in LABELS:
                        found[f"{prefix}{form}.{register}.{label}"] = float(tally[label])
        return found

    def part(self, share: float) -> Formality:
        keep = evenly(len(self.expected), share)
        return replace(
            self, requests=[self.requests[2 * i + side] for i in keep for side in (0, 1)],
            expected=[self.expected[i] for i in keep],
            references=[self.references[i] for i in keep],
        )  # fmt: skip


class Options(Frozen):
    direction: Direction


def build(spec: AbilitySpec, context: Context) -> Formality:
    """Options: `direction`. Columns: the source language's, `formal`, `informal`,
    `formal_annotated`, `informal_annotated`."""
    source, target = languages_of(options_of(context.name, spec, Options).direction)
    annotated = [f"{register}_annotated" for register in REGISTERS]
    rows = read_rows(spec, [source, *REGISTERS, *annotated], limit=spec.size)
    requests = [
        Request(
            translation_prompt(one_line(row[source]), source, target, context.template, register),
            None,
            context.max_new_tokens,
        )
        for row in rows
        for register in REGISTERS
    ]
    expected = [(phrases(row[annotated[0]]), phrases(row[annotated[1]])) for row in rows]
    references = [(row["formal"], row["informal"]) for row in rows]
    ability = Formality(context.name, requests, expected, references, target, floor=0.0)
    labels = ability.reference_labels("normalised")
    covered = [sum(label in LABELS[:2] for label in labels[side::2]) for side in (0, 1)]
    if not all(covered):
        register = REGISTERS[covered.index(0)]
        raise DataError(
            f"{spec.path}: no {register} reference holds its own [F]...[/F] phrases; "
            "nothing can be measured"
        )
    return replace(ability, floor=control_floor(*covered))


def one_register(
    hypotheses: Sequence[str],
    formal: Sequence[str],
    informal: Sequence[str],
    language: str,
    register: str,
) -> tuple[dict[str, Measurement], dict[str, float]]:
    """Accuracy and guarded accuracy of outputs that were all asked for one register, and their four
    counts; the references are annotated."""
    expected = [(phrases(f), phrases(i)) for f, i in zip(formal, informal, strict=True)]
    segmented = language not in UNSEGMENTED
    labels = [label_official(h, *e, segmented) for h, e in zip(hypotheses, expected, strict=True)]
    wanted = register.upper()
    other = "INFORMAL" if wanted == "FORMAL" else "FORMAL"
    stats = np.array([[x == wanted, x in (wanted, other)] for x in labels], dtype=np.float64)
    signature = f"M-Acc|lang:{language}|match:official|register:{register}"
    value = Measurement(stats, lambda s: s[..., 0] / s[..., 1], signature)
    return {"official": value}, {label: float(labels.count(label)) for label in LABELS}
