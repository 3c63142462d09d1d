"""How long the texts of evaluation sets are, in the model's tokens, and what does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtray.data.readers.paragraphs import has_break
from mtray.data.tokenization import prefix_ids, prompt_ids_batch
from mtray.data.translation_prompts import keeps_breaks
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


@dataclass(frozen=True)
class Limits:
    """Tokens of a training example (`max_length`), and of a request with its answer (`positions` of
    the model, None where it does not say)."""

    max_length: int
    positions: int | None = None


def length_lines(
    suite: Suite, study: Study, tokenizer: Any, positions: int | None
) -> dict[str, list[str]]:
    """What `check` says of every set, by the set's name in its list: token lengths, texts of
    several lines, and notes on what does not fit."""
    limits = Limits(study.training.max_length, positions)
    sets = {
        f"quality {d.name}": SetTexts(d.requests, d.sources, d.references) for d in suite.directions
    } | {f"ability {a.name}": _of_ability(a) for a in suite.abilities}
    kept = keeps_breaks(study.template, study.paragraphs)
    return {
        name: [*_lines(found, tokenizer, limits), *_break_notes(found, study, kept)]
        for name, found in sets.items()
        if found.requests
    }


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


def _lines(found: SetTexts, tokenizer: Any, limits: Limits) -> list[str]:
    asked = found.requests
    prompts = [len(ids) for ids in prompt_ids_batch(tokenizer, [r.prompt for r in asked])]
    counted = {"prompts": prompts} if any(r.prompt for r in asked) else {}
    # the answers that a model should give: a reference as its request wants it, or a target
    answers = list(map(asked_text, asked, found.references)) or [r.target or "" for r in asked]
    lengths = token_counts(tokenizer, answers)
    if found.sources:
        counted = {"sources": token_counts(tokenizer, found.sources), **counted}
    if any(lengths):
        counted["expected answers" if asked[0].target is None else "scored texts"] = lengths
    sizes = ", ".join(f"{what} {spread(counts)}" for what, counts in counted.items())
    return [f"median tokens: {sizes}", *_notes(asked, prompts, lengths, limits)]


def _notes(
    asked: Sequence[Request], prompts: Sequence[int], answers: Sequence[int], limits: Limits
) -> list[str]:
    """What is longer than an answer may be, than any training example, or than the model's
    positions."""
    notes = []
    rows = list(zip(asked, prompts, answers, strict=True))
    # an answer ends with a token that counts
    cut = [n for r, _, n in rows if r.target is None and n + 1 > r.max_new_tokens]
    if cut:
        notes.append(
            f"note: {len(cut):,} of {len(rows):,} references are longer than an answer may be; the "
            f"longest needs `max_new_tokens: {max(cut) + 1}`"
        )
    wholes = [p + n + 1 for _, p, n in rows]
    if long := [n for n in wholes if n > limits.max_length]:
        notes.append(
            f"note: {len(long):,} of {len(rows):,} prompts with their answers are longer than any "
            f"training example (`training.max_length: {limits.max_length}`), the longest "
            f"{max(long):,} tokens"
        )
    rooms = [p + (1 if r.within_positions else r.max_new_tokens) for r, p, _ in rows]
    if limits.positions is not None and max(rooms) > limits.positions:
        notes.append(
            f"note: a prompt with room for its answer takes {max(rooms):,} tokens, and the model "
            f"has {limits.positions:,} positions: evaluation will fail"
        )
    return notes


def _break_notes(found: SetTexts, study: Study, kept: bool) -> list[str]:
    """The texts of several lines, and what becomes of their line breaks."""
    counts = {
        what: sum(map(has_break, texts))
        for what, texts in (("sources", found.sources), ("references", found.references))
    }
    if not any(counts.values()):
        return []
    shown = " and ".join(f"{n:,} {what}" for what, n in counts.items() if n)
    several = f"{shown} of {len(found.requests):,} have line breaks"
    if any(not r.one_line for r in found.requests):
        return [f"{several}, which prompts and answers keep"]
    why = "" if kept else join_reason(study)
    return [f"note: {several}, and prompts and answers are on one line{why}"]


def join_reason(study: Study) -> str:
    """Why line breaks become spaces, and what keeps them."""
    if study.paragraphs == "join":
        return " (`paragraphs: join`)"
    return (
        f" (`template: {study.template}` is one of one line; `paragraphs: keep` or a chat template "
        "keeps them)"
    )
