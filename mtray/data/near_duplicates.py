"""Near-duplicates in a stream by MinHash (Broder 1997) and banding (Leskovec et al., Mining of
Massive Datasets, 3.4): a text is compared with those kept before it.

A signature is 64 bytes, one for each of 64 permutations of a text's character 5-grams; the share of
equal bytes estimates the Jaccard similarity of the two sets, with a standard error of at most 0.06.
16 bands of 4 bytes find the candidates: a pair of similarity 0.8 shares no band with a probability
of 0.0002, one of 0.5 with 0.36. Memory: 64 bytes a text, and 64 bytes for each slot of the tables,
of which there are 1.5 to 3 a text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SHINGLE = 5
PERMUTATIONS, BAND = 64, 4
BANDS = PERMUTATIONS // BAND
FIRST_SLOTS = 1 << 14
LOAD = 0.67  # most texts per slot

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint32]

_RANDOM = np.random.default_rng(20240501)
# odd, so that multiplication permutes the 32-bit numbers
MULTIPLIERS = _RANDOM.integers(1 << 31, dtype=np.uint32, size=PERMUTATIONS) * np.uint32(2) + 1
STEPS = _RANDOM.integers(1 << 31, dtype=np.uint32, size=SHINGLE) * np.uint32(2) + 1
ALL_BANDS = np.arange(BANDS)
BAND_SALTS = _RANDOM.integers(1 << 31, dtype=np.uint32, size=BANDS) * np.uint32(2) + 1


def _mixed(values: Words) -> Words:
    """The finaliser of MurmurHash3 (public domain): every bit depends on every other."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        values = (values ^ (values >> np.uint32(shift))) * np.uint32(factor)
    return values ^ (values >> np.uint32(16))


def signatures(texts: Sequence[str]) -> Bytes:
    """Shape (texts, 64). White space and case are ignored; a text shorter than a shingle is one
    shingle."""
    if not texts:
        return np.empty((0, PERMUTATIONS), np.uint8)
    plain = [" ".join(text.lower().split()).ljust(SHINGLE) for text in texts]
    raw = "".join(plain).encode("utf-32-le", "surrogatepass")
    points = np.frombuffer(raw, np.uint32)
    lengths = np.fromiter(map(len, plain), np.int64, len(plain))
    ends = np.cumsum(lengths)
    count = len(points) - SHINGLE + 1
    shingles = np.zeros(count, np.uint32)
    for place, step in enumerate(STEPS):
        shingles = _mixed(shingles ^ (points[place : place + count] * step))
    # windows of each text; those that cross a boundary lie between an end and the next start
    edges = np.stack([ends - lengths, ends - SHINGLE + 1], axis=1).ravel()
    out = np.empty((len(texts), PERMUTATIONS), np.uint8)
    for number, factor in enumerate(MULTIPLIERS):
        # the last end is that of the array
        least = np.minimum.reduceat(shingles * factor, edges[:-1])[::2]
        out[:, number] = _mixed(least) >> 24
    return out


class NearDuplicates:
    """The signatures of the texts kept so far, and for each band a table from its hash to the first
    text that has it. A collision of slots costs some recall but gives no false positive, since
    signatures are compared."""

    def __init__(self, threshold: float) -> None:
        # bytes are equal by chance with a probability of 1 / 256
        self.least = PERMUTATIONS * (threshold + (1 - threshold) / 256)
        self._signatures = np.empty((FIRST_SLOTS, PERMUTATIONS), np.uint8)
        self._tables = np.zeros((BANDS, FIRST_SLOTS), np.uint32)  # 0: free, else 1 + the text
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, texts: Sequence[str]) -> list[bool]:
        """Whether each text is a near-duplicate of one kept before, in this call or an earlier one;
        the others are kept."""
        found = signatures(texts)
        self._reserve(len(texts))
        slots = self._slots(found)
        near = self._matches(found, slots)
        inner = self._inner_candidates(slots, near)
        for row in range(len(texts)):
            if near[row]:
                continue
            places = ALL_BANDS, slots[:, row]
            others = self._tables[places]
            if inner[row] and self._matches_one(found[row], others[others > 0] - 1):
                near[row] = True
                continue
            self._signatures[self._size] = found[row]
            self._size += 1
            self._tables[places] = np.where(others, others, self._size)
        return [bool(value) for value in near]

    def _matches_one(self, signature: Bytes, others: Words) -> bool:
        equal = (self._signatures[others] == signature).sum(axis=1)
        return bool((equal >= self.least).any())

    def _slots(self, found: Bytes) -> npt.NDArray[np.int64]:
        """Shape (bands, texts), each an index into that band's table."""
        bands = np.ascontiguousarray(found).view(np.uint32)
        hashed = _mixed((bands * BAND_SALTS).T.astype(np.uint32))
        return (hashed & np.uint32(self._tables.shape[1] - 1)).astype(np.int64)

    def _matches(self, found: Bytes, slots: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether any text in these slots is similar enough."""
        near = np.zeros(len(found), np.bool_)
        for table, places in zip(self._tables, slots, strict=True):
            others = table[places]
            (asked,) = np.nonzero((others > 0) & ~near)
            equal = (self._signatures[others[asked] - 1] == found[asked]).sum(axis=1)
            near[asked[equal >= self.least]] = True
        return near

    def _inner_candidates(
        self, slots: npt.NDArray[np.int64], near: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """Whether a text shares a slot with an earlier one of the same call."""
        shared = np.zeros(slots.shape[1], np.bool_)
        (rows,) = np.nonzero(~near)
        for places in slots[:, rows]:
            first = np.unique(places, return_index=True)[1]
            later = np.ones(len(rows), np.bool_)
            later[first] = False
            shared[rows[later]] = True
        return shared

    def _reserve(self, more: int) -> None:
        wanted = self._size + more
        if wanted > len(self._signatures):
            grown = np.empty((max(wanted, 2 * len(self._signatures)), PERMUTATIONS), np.uint8)
            grown[: self._size] = self._signatures[: self._size]
            self._signatures = grown
        slots = self._tables.shape[1]
        if wanted <= LOAD * slots:
            return
        while wanted > LOAD * slots:
            slots *= 2
        self._tables = np.zeros((BANDS, slots), np.uint32)
        step = 1 << 16
        for start in range(0, self._size, step):
            places = self._slots(self._signatures[start : min(start + step, self._size)])
            numbers = np.arange(start + 1, start + places.shape[1] + 1, dtype=np.uint32)
            for table, band in zip(self._tables, places, strict=True):
                free = table[band] == 0
                # reversed, so that of several texts in a slot the first is written last
                table[band[free][::-1]] = numbers[free][::-1]
