"""What the rows of a token store's shard become: the tokens of their examples, or their draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np

from mtray.data.readers.sources import Row
from mtray.data.row_draws import draw_chunk
from mtray.data.token_chunks import TokenChunk, hashed
from mtray.data.tokenization import encode_examples
from mtray.data.training_prompts import Renderer, trained_row

# examples encoded at a time: their ids are Python lists then, ten times the size of the array
AT_ONCE = 1024


class TokenMaker(Protocol):
    """`made`: the tokens of some rows, and counts of what the rows became."""

    def made(self, rows: Iterable[Any]) -> tuple[TokenChunk, Counter[str]]: ...


@dataclass(frozen=True)
class ExampleMaker:
    """The examples of rows by `renderer`, with up to `limit` tokens; without one, rows are (prompt,
    target)."""

    renderer: Renderer | None
    tokenizer: Any
    limit: int

    def made(self, rows: Iterable[Any]) -> tuple[TokenChunk, Counter[str]]:
        """Raises DataError or ConfigError."""
        part = self.renderer and self.renderer.part()
        examples = list(part.examples(rows) if part else rows)
        tokens = hashed(*encoded(examples, self.tokenizer, self.limit))
        return tokens, part.counts if part else Counter()


@dataclass(frozen=True)
class DrawMaker:
    """The draws of pairs (`mtray.data.row_draws`). `key`: study seed and source name."""

    key: str
    keeps_breaks: bool

    def made(self, rows: Iterable[Row]) -> tuple[TokenChunk, Counter[str]]:
        trained = [trained_row(row, self.keeps_breaks) for row in rows]
        pairs = [(row["source"], row["target"]) for row in trained]
        return hashed(*draw_chunk(pairs, self.key)), Counter()


def encoded(examples: list[tuple[str, str]], tokenizer: Any, limit: int) -> tuple[Any, Any, Any]:
    """Ids (tokens,), lengths and `loss_from` (examples,); an example of more than `limit` tokens
    becomes empty."""
    starts = range(0, len(examples), AT_ONCE) or range(1)
    parts = [_encoded(examples[start : start + AT_ONCE], tokenizer, limit) for start in starts]
    ids, lengths, loss_from = map(np.concatenate, zip(*parts, strict=True))
    return ids, lengths, loss_from


def _encoded(examples: list[tuple[str, str]], tokenizer: Any, limit: int) -> tuple[Any, Any, Any]:
    found = encode_examples(tokenizer, examples)
    lengths = np.fromiter((len(ids) for ids, _ in found), np.int64, len(found))
    loss_from = np.fromiter((start for _, start in found), np.int32, len(found))
    fits = lengths <= limit
    lengths, loss_from = lengths * fits, loss_from * fits
    kept = chain.from_iterable(ids for (ids, _), fit in zip(found, fits, strict=True) if fit)
    return np.fromiter(kept, np.int32, int(lengths.sum())), lengths, loss_from.astype(np.int32)
