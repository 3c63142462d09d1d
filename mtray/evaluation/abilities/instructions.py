"""Ability: follow an instruction to translate, in a direction that is not fine-tuned (mFTI, Li et
al. 2023, and its templates). Unit: share of the answers, 0 to 1, that follow it.

An answer follows the instruction if it has no label of `output_failures` in the strict form: it is
in the requested language, no copy, not empty, no loop, and neither less than half nor more than
twice as long as the reference. This ignores the quality of the translation, which chrF reports:
`chrf` of the corpus, and `gated_chrf`, the mean over sentences with 0 for those that do not follow.
(Not the corpus chrF with those emptied: removing text of low precision raises it.)

A copy of the source and an empty answer never follow, so the floor is 0. Pairs whose reference is
itself a copy of the source (names, numbers) are left out, since a copy is right there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from mtray.analysis.uncertainty import Measurement, mean_measurement, share_measurement
from mtray.data.languages import letters
from mtray.data.readers.paragraphs import one_line
from mtray.data.templates import TEMPLATES, translation_prompt
from mtray.errors import DataError
from mtray.evaluation.abilities.base import (
    Context,
    Tools,
    check_outputs,
    evenly,
    languages_of,
    options_of,
    output_counts,
    sampled_rows,
)
from mtray.evaluation.inference.requests import Output, Request
from mtray.evaluation.metrics.output_failures import FailureLabels, copy_rule, copy_tokenizer, judge
from mtray.evaluation.metrics.quality import chrf
from mtray.schema import AbilitySpec, Direction, Frozen

_judge = lru_cache(maxsize=4)(judge)  # the value, the extras and the counts all need it


@dataclass(frozen=True)
class Instructions:
    """Every pair requested with each of `templates` in turn, all pairs of the first before those of
    the second. A resample keeps the answers to one pair together."""

    name: str
    requests: list[Request]
    pairs: list[tuple[str, str]]
    templates: tuple[str, ...]
    direction: str
    floor: float = 0.0

    @property
    def sources(self) -> list[str]:
        return [source for source, _ in self.pairs] * len(self.templates)

    @property
    def references(self) -> list[str]:
        return [reference for _, reference in self.pairs] * len(self.templates)

    def _judged(self, outputs: Sequence[Output]) -> FailureLabels:
        check_outputs(self.name, self.requests, outputs)
        texts = tuple(o.text for o in outputs)
        return _judge(
            tuple(self.sources), texts, tuple(self.references), *languages_of(self.direction)
        )

    def _clusters(self) -> npt.NDArray[np.int64]:
        return np.tile(np.arange(len(self.pairs)), len(self.templates))

    def measure(self, outputs: Sequence[Output], tools: Tools) -> Measurement:
        judged = self._judged(outputs)
        follows = [not labels for labels in judged.labels["strict"]]
        signature = f"share|followed|{self._asked()}|lid:{judged.detector}"
        return share_measurement(follows, signature, self._clusters())

    def _asked(self) -> str:
        return f"{self.direction}|templates:{','.join(self.templates)}"

    def extras(self, outputs: Sequence[Output], tools: Tools) -> dict[str, Measurement]:
        """chrF, plain and gated, the share of followed instructions by template, and the share of
        each label."""
        judged = self._judged(outputs)
        labels, clusters = judged.labels["strict"], self._clusters()
        gated = [
            0.0 if found else sentence_chrf(o.text, reference)
            for o, found, reference in zip(outputs, labels, self.references, strict=True)
        ]
        extras = {
            "chrf": chrf([o.text for o in outputs], self.references, clusters),
            "gated_chrf": mean_measurement(
                gated, "mean sentence chrF2|gated", clusters, (0.0, 100.0)
            ),
        }
        for i, template in enumerate(self.templates if len(self.templates) > 1 else ()):
            part = labels[i * len(self.pairs) : (i + 1) * len(self.pairs)]
            follows = np.array([not found for found in part], dtype=np.float64)
            signature = f"share|followed|{self.direction}|templates:{template}"
            extras[f"followed.{template}"] = share_measurement(follows, signature)
        shares = judged.measurements("strict", clusters)
        return extras | {kind: share for kind, share in shares.items() if kind != "any"}

    def counts(self, outputs: Sequence[Output]) -> dict[str, float]:
        return output_counts(self.sources, outputs) | self._judged(outputs).counts()

    def texts(self) -> list[tuple[str, ...]]:
        return [pair for _ in self.templates for pair in self.pairs]

    def part(self, share: float) -> Instructions:
        keep = evenly(len(self.pairs), share)
        starts = range(0, len(self.requests), len(self.pairs))
        requests = [self.requests[start + i] for start in starts for i in keep]
        return replace(self, requests=requests, pairs=[self.pairs[i] for i in keep])


def sentence_chrf(text: str, reference: str) -> float:
    """chrF2 of one sentence (Popović 2015), 0-100."""
    from sacrebleu.metrics import CHRF

    return float(CHRF().sentence_score(text, [reference]).score)


class Options(Frozen):
    direction: Direction
    templates: Annotated[tuple[str, ...], Field(min_length=1)] = ("mfti",)

    @field_validator("templates")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in TEMPLATES]
        if unknown or len(set(names)) < len(names):
            what = f"unknown {unknown[0]!r}" if unknown else "a name twice"
            raise ValueError(f"{what}; allowed: {', '.join(TEMPLATES)}")
        return names


def build(spec: AbilitySpec, context: Context) -> Instructions:
    """Options: `direction`, `templates`; columns named after its two languages. Raises DataError if
    every reference is a copy of its source."""
    options = options_of(context.name, spec, Options)
    source, target = languages_of(options.direction)
    rows = sampled_rows(spec, context, [source, target])
    # on one line, as in a template of this ability the source is within a line
    pairs = [(one_line(row[source]), one_line(row[target])) for row in rows]
    is_copy = copy_rule(copy_tokenizer(source))
    kept = [(s, t) for s, t in pairs if letters(t) and not is_copy(t, s)]
    if not kept:
        raise DataError(f"{spec.path}: every reference is a copy of its source; none can be judged")
    requests = [
        Request(translation_prompt(s, source, target, template), None, context.max_new_tokens)
        for template in options.templates
        for s, _ in kept
    ]
    return Instructions(context.name, requests, kept, options.templates, options.direction)
