"""Ability: model held-out monolingual text. Unit: *minus* bits per character, so that higher is
better everywhere.

Characters do not depend on the tokenizer, so models with different tokenizers can be compared.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mtray.analysis.uncertainty import Array, Measurement
from mtray.data.readers.paragraphs import lines_kept
from mtray.evaluation.abilities.base import (
    Context,
    Tools,
    check_outputs,
    evenly,
    options_of,
    sampled_rows,
)
from mtray.evaluation.inference.requests import Output, Request
from mtray.schema import AbilitySpec, Frozen, Language


def _negative_bits_per_character(sums: Array) -> Array:
    """From sums of (nats, characters), shape (..., 2)."""
    return np.asarray(sums[..., 0] / sums[..., 1] / math.log(2))


@dataclass(frozen=True)
class Perplexity:
    """Texts scored after the begin token, without an end token."""

    name: str
    requests: list[Request]
    floor: float
    language: str

    def measure(self, outputs: Sequence[Output], tools: Tools) -> Measurement:
        check_outputs(self.name, self.requests, outputs)
        stats = [
            (o.log_likelihood, len(r.target or ""))
            for o, r in zip(outputs, self.requests, strict=True)
        ]
        signature = f"-bits/character|lang:{self.language}|eos:no"
        return Measurement(
            np.asarray(stats, dtype=np.float64),
            _negative_bits_per_character,
            signature,
            bounds=(-math.inf, 0.0),
        )

    def extras(self, outputs: Sequence[Output], tools: Tools) -> dict[str, Measurement]:
        return {}

    def counts(self, outputs: Sequence[Output]) -> dict[str, float]:
        return {
            "segments": float(len(outputs)),
            "tokens": float(sum(o.tokens for o in outputs)),
            "characters": float(sum(len(r.target or "") for r in self.requests)),
        }

    def texts(self) -> list[tuple[str, ...]]:
        return [(request.target or "",) for request in self.requests]

    def part(self, share: float) -> Perplexity:
        requests = [self.requests[i] for i in evenly(len(self.requests), share)]
        return replace(self, requests=requests)


def unigram_floor(texts: Sequence[str], tokenizer: Any) -> float:
    """Minus bits per character of a unigram model fitted to *these texts*.

    This is the best that a model without context can reach: sum over tokens of log2(count / all) /
    characters.
    """
    ids = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    counts = Counter(token for row in ids for token in row)
    total = sum(counts.values())
    bits = sum(count * math.log2(count / total) for count in counts.values())
    return bits / sum(map(len, texts))


class Options(Frozen):
    language: Language


def build(spec: AbilitySpec, context: Context) -> Perplexity:
    """Options: `language`; one column, `text`."""
    language = options_of(context.name, spec, Options).language
    texts = [lines_kept(row["text"]) for row in sampled_rows(spec, context, ["text"])]
    requests = [Request("", text, 1) for text in texts]
    return Perplexity(context.name, requests, unigram_floor(texts, context.tokenizer), language)
