"""How long the texts of evaluation sets are, in the model's tokens, and what does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtray.data.readers.paragraphs import has_break
from mtray.data.tokenization import prefix_ids, prompt_ids_batch
from mtray.data.translation_prompts import keeps_breaks
from mtray.errors import ConfigError
from mtray.evaluation.inference.requests import Request
from mtray.evaluation.inference.translation_requests import asked_text
from mtray.evaluation.suite import Suite
from mtray.schema import Study


@dataclass(frozen=True)
class SetTexts:
    """What a set asks for. `sources` and `references`: one for each request, or none where a set
    has no such texts."""

    requests: Sequence[Request]
    sources: Sequence[str] = ()
    references: Sequence[str] = ()


def length_lines(
    suite: Suite, study: Study, tokenizer: Any, positions: int | None
) -> dict[str, list[str]]:
    """What `check` says of every set, by the set's name in its list: token lengths, texts of
    several lines, and notes on what does not fit. Raises ConfigError where the model has too few
    positions for a prompt and its answer: the base model's evaluation would fail."""
    found = {}
    for direction in suite.directions:
        texts = SetTexts(direction.requests, direction.sources, direction.references)
        counted = TokenCounts(texts, tokenizer)
        counted.check_room(positions, f"evaluation.quality: {direction.name}")
        notes = [*counted.over_training(study.training.max_length), *_break_notes(texts, study)]
        found[f"quality {direction.name}"] = [*counted.lines(positions), *notes]
    for ability in suite.abilities:
        texts = _of_ability(ability)
        lines = []
        if texts.requests:
            counted = TokenCounts(texts, tokenizer)
            counted.check_room(positions, f"evaluation.abilities: {ability.name}")
            lines = counted.lines(positions)
        found[f"ability {ability.name}"] = [*lines, *_break_notes(texts, study)]
    return found


def _of_ability(ability: Any) -> SetTexts:
    """Translations have a `source` for each request, and generated answers a reference."""
    requests: list[Request] = ability.requests
    sides = []
    for side in ("sources", "references"):
        texts = getattr(ability, side, ())
        # of formality, the two registers of a sentence
        flat = [t for text in texts for t in ((text,) if isinstance(text, str) else text)]
        sides.append(flat if len(flat) == len(requests) else [])
    return SetTexts(requests, *sides)


def token_counts(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """Tokens of texts, without special ones before or after them."""
    before = len(prefix_ids(tokenizer))
    return [max(0, len(ids) - before) for ids in prompt_ids_batch(tokenizer, texts)]


def spread(counts: Sequence[int]) -> str:
    """Such as `24 (at most 61)`: the median and the maximum."""
    return f"{np.median(counts):.0f} (at most {max(counts):,})"


class TokenCounts:
    """The tokens of a set's texts: of its sources, of its prompts and of the answers that a model
    should give (references as their requests want them, or the targets that are scored)."""

    def __init__(self, texts: SetTexts, tokenizer: Any) -> None:
        self._asked = asked = texts.requests
        answers = list(map(asked_text, asked, texts.references)) or [r.target or "" for r in asked]
        self._sources = token_counts(tokenizer, texts.sources)
        self._prompts = [len(i) for i in prompt_ids_batch(tokenizer, [r.prompt for r in asked])]
        self._answers = token_counts(tokenizer, answers)

    def lines(self, positions: int | None) -> list[str]:
        """Medians and maxima, and what is longer than answers or the model's positions allow."""
        generated = self._asked[0].target is None
        counted = {
            "sources": self._sources,
            "prompts": self._prompts if any(r.prompt for r in self._asked) else [],
            "expected answers" if generated else "scored texts": self._answers,
        }
        sizes = [f"{what} {spread(counts)}" for what, counts in counted.items() if any(counts)]
        return [f"median tokens: {', '.join(sizes)}", *self._cut(), *self._beyond(positions)]

    def _cut(self) -> list[str]:
        rows = zip(self._asked, self._answers, strict=True)
        # the end token counts
        cut = [n + 1 for r, n in rows if r.target is None and n + 1 > r.max_new_tokens]
        if not cut:
            return []
        return [
            f"note: {len(cut):,} of {len(self._asked):,} references are longer than an answer may "
            f"be; the longest needs `max_new_tokens: {max(cut)}`"
        ]

    def check_room(self, positions: int | None, where: str) -> None:
        """Raise ConfigError if a prompt with room for its answer exceeds the model's positions;
        `where`: key and name of the set."""
        rows = zip(self._asked, self._prompts, strict=True)
        asked = [(n, n + self._room(r)) for r, n in rows if r.target is None]
        long = [(prompt, whole) for prompt, whole in asked if whole > (positions or whole)]
        if not long:
            return
        prompt, whole = max(long, key=lambda n: n[1])
        raise ConfigError(
            f"`{where}`: {len(long):,} of {len(asked):,} prompts do not fit the model's "
            f"{positions:,} positions with room for their answers; the longest has {prompt:,} "
            f"tokens and its answer up to {whole - prompt:,}. Use fewer `shots`, shorter texts or "
            "a smaller `max_new_tokens`, or leave this set out"
        )

    @staticmethod
    def _room(request: Request) -> int:
        return 1 if request.within_positions else request.max_new_tokens

    def _beyond(self, positions: int | None) -> list[str]:
        """Of texts that are scored: how prompt and text are joined can save a token, so the
        evaluation alone knows."""
        rows = zip(self._asked, self._prompts, self._answers, strict=True)
        wholes = [prompt + answer for r, prompt, answer in rows if r.target is not None]
        if positions is None or max(wholes, default=0) <= positions:
            return []
        return [
            f"note: a text with its prompt has {max(wholes):,} tokens, and the model has "
            f"{positions:,} positions: its evaluation will fail"
        ]

    def over_training(self, max_length: int) -> list[str]:
        """What is longer than any training example."""
        wholes = [p + n + 1 for p, n in zip(self._prompts, self._answers, strict=True)]
        if not (long := [n for n in wholes if n > max_length]):
            return []
        return [
            f"note: {len(long):,} of {len(wholes):,} prompts with their answers are longer than "
            f"any training example (`training.max_length: {max_length}`), the longest "
            f"{max(long):,} tokens"
        ]


def _break_notes(found: SetTexts, study: Study) -> list[str]:
    """The texts of several lines, and what becomes of their line breaks."""
    total, sources = len(found.requests), sum(map(has_break, found.sources))
    lone = sum(
        has_break(text) and request.one_line
        for request, text in zip(found.requests, found.references, strict=False)
    )
    if any(not request.one_line for request in found.requests):
        lines = [f"{sources:,} of {total:,} sources have line breaks, which prompts keep"]
    elif sources:
        kept = keeps_breaks(study.template, study.paragraphs)
        why = " (its prompts are of one line)" if kept else join_reason(study)
        return [f"note: {sources:,} of {total:,} sources have line breaks, which are joined{why}"]
    else:
        lines = []
    if lone:
        lines.append(
            f"note: {lone:,} of {total:,} references have line breaks and their sources have none: "
            "answers end at the first one"
        )
    return lines


def join_reason(study: Study) -> str:
    """Why line breaks become spaces, and what keeps them."""
    if study.paragraphs == "join":
        return " (`paragraphs: join`)"
    return (
        f" (`template: {study.template}` is one of one line; `paragraphs: keep` or a chat template "
        "keeps them)"
    )
