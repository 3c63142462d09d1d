"""Which texts of a segment COMET cuts at its encoder's length, which it does in silence."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from .protocol import PARTS

LETTERS = {"src": PARTS[0], "mt": PARTS[1], "ref": PARTS[2]}
SPECIALS = 2  # at the two ends of a text


def max_length(model: Any) -> int:
    """Tokens of one text that a loaded model reads, special ones included
    (`Encoder.prepare_sample` of comet 2.2)."""
    return int(model.encoder.max_positions) - 2


def cut_texts(model: Any, samples: Sequence[dict[str, str]]) -> list[str]:
    """For each sample the letters of those texts whose end the model does not see.

    A unified model (UniTE, CometKiwi, xCOMET) reads its texts behind each other, the translation
    first, and cuts them together (`Encoder.concat_sequences`).
    """
    limit = max_length(model)
    lengths = _lengths(model, {text for sample in samples for text in sample.values()}, limit)
    joined = hasattr(model, "concat_inputs")
    cut: dict[tuple[str, ...], str] = {}
    out = []
    for sample in samples:
        key = tuple(sample.values())
        if key not in cut:
            sizes = {part: lengths[text] for part, text in sample.items()}
            long = {part for part, size in sizes.items() if size > limit}
            if joined:
                long |= _cut_together(model, sizes, limit)
            cut[key] = "".join(letter for part, letter in LETTERS.items() if part in long)
        out.append(cut[key])
    return out


def count_cut(model: Any, texts: Sequence[str]) -> int:
    """How many texts are longer than the model reads, each taken by itself."""
    limit = max_length(model)
    lengths = _lengths(model, set(texts), limit)
    return sum(lengths[text] > limit for text in texts)


def _cut_together(model: Any, sizes: dict[str, int], limit: int) -> set[str]:
    seen = model.hparams.get("input_segments") or list(sizes)
    order = [part for part in ("mt", "src", "ref") if part == "mt" or part in seen]
    order = [part for part in order if part in sizes]
    together = [order] if len(order) < 3 else [order, ["mt", "ref"]]
    found = set()
    for parts in together:
        end = 1  # the token that begins the sequence
        for part in parts:
            end += min(sizes[part], limit) - SPECIALS
            if end > model.encoder.max_positions:
                found.add(part)
            end += model.encoder.size_separator
    return found


def _lengths(model: Any, texts: Iterable[str], limit: int) -> dict[str, int]:
    """Tokens of each text. One that cannot reach the limit counts as its bytes after NFKC, which a
    tokenizer gives a token each at most: most texts need not be tokenized a second time."""
    most = {text: len(unicodedata.normalize("NFKC", text).encode("utf-8", "replace")) + SPECIALS + 1
            for text in texts}  # fmt: skip
    joined = hasattr(model, "concat_inputs")
    long = [text for text, size in most.items() if joined or size > limit]
    if long:
        tokens = model.encoder.tokenizer(long, truncation=False)["input_ids"]
        most |= {text: len(ids) for text, ids in zip(long, tokens, strict=True)}
    return most
