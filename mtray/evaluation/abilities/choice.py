"""Ability: choose the right one of several answers (multiple choice). Unit: accuracy, 0 to 1.

No text is generated: the log-likelihood of every choice after the prompt is computed, and the most
likely choice is the answer. With `style: text` the choice's own text is scored after the question
alone, and `acc_norm` divides its log-likelihood by its number of characters, so that long choices
are not at a disadvantage (as in the LM evaluation harness). With `style: letters` the prompt lists
the choices and their letters are scored; `rotations: true` asks every question once with each of
its choices first, since models prefer some letters, at a proportional cost.

Equally likely choices share the point, so that a model without a preference has the floor's
accuracy: chance, the mean of 1 / number of choices.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

import numpy as np
from pydantic import field_validator

from mtray.analysis.uncertainty import Measurement, share_measurement
from mtray.data.readers.sources import LABELS
from mtray.errors import ConfigError
from mtray.evaluation.abilities.base import (
    Context,
    Tools,
    check_outputs,
    evenly,
    options_of,
)
from mtray.evaluation.abilities.questions import LETTERS, ROLES, Question, read_questions
from mtray.evaluation.inference.requests import Output, Request
from mtray.schema import AbilitySpec, Frozen

PROMPTS = {
    "text": "Question: {question}\nAnswer:",
    "letters": "Question: {question}\n{choices}\nAnswer:",
}


def credit(scores: Sequence[float], answer: int) -> float:
    """1 if the answer has the highest score, 1/k if k - 1 others have the same score, else 0."""
    best = max(scores)
    return float(scores[answer] == best) / list(scores).count(best)


@dataclass(frozen=True)
class Choice:
    """As many requests for each question as it has choices, for each of its rotations in turn."""

    name: str
    requests: list[Request]
    asked: list[list[Question]]
    style: str
    floor: float

    def _credits(self, outputs: Sequence[Output], by_length: bool) -> list[float]:
        """The mean credit of each question over its rotations."""
        check_outputs(self.name, self.requests, outputs)
        found, rest = [], iter(outputs)
        for rotations in self.asked:
            earned = []
            for question in rotations:
                scores = [next(rest).log_likelihood for _ in question.choices]
                if by_length:
                    pairs = zip(scores, question.choices, strict=True)
                    scores = [score / len(choice) for score, choice in pairs]
                earned.append(credit(scores, question.answer))
            found.append(sum(earned) / len(earned))
        return found

    def _signature(self, value: str) -> str:
        rotations = "all" if any(len(r) > 1 for r in self.asked) else "1"
        return f"{value}|choice|style:{self.style}|rotations:{rotations}"

    def measure(self, outputs: Sequence[Output], tools: Tools) -> Measurement:
        return share_measurement(self._credits(outputs, False), self._signature("acc"))

    def extras(self, outputs: Sequence[Output], tools: Tools) -> dict[str, Measurement]:
        """`acc_norm` of choices that are scored by their texts."""
        if self.style == "letters":
            return {}
        by_length = share_measurement(self._credits(outputs, True), self._signature("acc_norm"))
        return {"acc_norm": by_length}

    def counts(self, outputs: Sequence[Output]) -> dict[str, float]:
        """Questions, and the mean log-likelihood of the right choice in nats."""
        right, rest = [], iter(outputs)
        for question in (q for rotations in self.asked for q in rotations):
            right.append([next(rest) for _ in question.choices][question.answer].log_likelihood)
        return {
            "questions": float(len(self.asked)),
            "requests": float(len(outputs)),
            "log_likelihood_of_the_answer": float(np.mean(right)),
        }

    def texts(self) -> list[tuple[str, ...]]:
        return [(rotations[0].text,) for rotations in self.asked]

    def part(self, share: float) -> Choice:
        sizes = [sum(len(q.choices) for q in rotations) for rotations in self.asked]
        ends = list(accumulate(sizes))
        keep = evenly(len(self.asked), share)
        requests = [r for i in keep for r in self.requests[ends[i] - sizes[i] : ends[i]]]
        return replace(self, asked=[self.asked[i] for i in keep], requests=requests)


class Options(Frozen):
    style: Literal["text", "letters"] = "text"
    prompt: str | None = None
    rotations: bool = False

    @field_validator("prompt")
    @classmethod
    def _slots(cls, prompt: str | None) -> str | None:
        if prompt is not None:
            try:
                slots = {name for _, name, _, _ in string.Formatter().parse(prompt)} - {None}
            except ValueError as error:
                raise ValueError(str(error)) from None
            if "question" not in slots or slots - {"question", "choices"}:
                raise ValueError("needs the slot {question}, and may have {choices}")
        return prompt


def build(spec: AbilitySpec, context: Context) -> Choice:
    """Options: `style`, `prompt`, `rotations`; columns `question`, `choices`, `answer`
    and, where `columns` names them, `domain` (such as a subject) and `document`."""
    options = options_of(context.name, spec, Options)
    unknown = spec.columns.keys() - {*ROLES, *LABELS}
    if unknown:
        raise ConfigError(
            f"measure {spec.measure}: unknown key {min(unknown)!r} in `columns`; "
            f"allowed: {', '.join([*ROLES, *LABELS])}"
        )
    if not isinstance(spec.path, str):
        raise ConfigError(f"ability {context.name!r}: `path` must be one file, found {spec.path}")
    prompt = options.prompt or PROMPTS[options.style]
    if "{choices}" not in prompt and (options.rotations or options.style == "letters"):
        raise ConfigError(
            f"ability {context.name!r}: `style: letters` and `rotations` need a `prompt` with the "
            f"slot {{choices}}, found style {options.style} and prompt {prompt!r}"
        )
    questions = read_questions(spec.path, spec, context)
    asked = [
        [q.rotated(by) for by in range(len(q.choices) if options.rotations else 1)]
        for q in questions
    ]
    requests = [
        request
        for rotations in asked
        for question in rotations
        for request in _requests(question, prompt, options.style)
    ]
    floor = float(np.mean([1 / len(q.choices) for q in questions]))
    return Choice(context.name, requests, asked, options.style, floor)


def _requests(question: Question, prompt: str, style: str) -> list[Request]:
    letters = LETTERS[: len(question.choices)]
    lines = [f"{letter}. {c}" for letter, c in zip(letters, question.choices, strict=True)]
    text = prompt.format(question=question.text, choices="\n".join(lines)).rstrip()
    return [
        Request(text, target, 1) for target in (letters if style == "letters" else question.choices)
    ]
