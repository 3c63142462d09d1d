"""Texts as tokens, in memory: what is written to a token file at a time."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]


def row_hashes(ids: Ids, lengths: npt.NDArray[np.int64], loss_from: Ids) -> Hashes:
    """Hash of each row's ids and of where its loss begins, shape (rows,): equal examples have equal
    hashes, whichever code, file or machine they come from. `ids` (tokens,) concatenated; `lengths`,
    `loss_from` (rows,)."""
    raw = memoryview(ids.astype("<i4").tobytes())
    starts, ends = 4 * (np.cumsum(lengths) - lengths), 4 * np.cumsum(lengths)
    found = bytearray()
    for start, end, first in zip(starts.tolist(), ends.tolist(), loss_from.tolist(), strict=True):
        own = hashlib.blake2b(raw[start:end], digest_size=8, salt=first.to_bytes(8, "little"))
        found += own.digest()
    return np.frombuffer(bytes(found), "<u8").astype(np.uint64)


class TokenChunk(NamedTuple):
    """Texts as tokens: `ids` of all, concatenated, shape (tokens,); `lengths`, `loss_from` and
    `hashes` (`row_hashes`) of each, shape (texts,). A text that is too long has the length 0."""

    ids: Ids
    lengths: npt.NDArray[np.int64]
    loss_from: Ids
    hashes: Hashes

    def split(self, texts: int) -> tuple[TokenChunk, TokenChunk]:
        """The first texts, and the others."""
        tokens = int(self.lengths[:texts].sum())
        return self._part(slice(texts), slice(tokens)), self._part(
            slice(texts, None), slice(tokens, None)
        )

    def _part(self, texts: slice, tokens: slice) -> TokenChunk:
        return TokenChunk(
            self.ids[tokens], self.lengths[texts], self.loss_from[texts], self.hashes[texts]
        )


def hashed(ids: Ids, lengths: npt.NDArray[np.int64], loss_from: Ids) -> TokenChunk:
    """The chunk of these texts, with their hashes."""
    return TokenChunk(ids, lengths, loss_from, row_hashes(ids, lengths, loss_from))
