"""Numbers in [0, 1) that decide a row's direction and whether it is noisy: drawn by (study seed,
source, content), so a row that has a direction or noise at one share has it at any higher one.

A trial reads tokens only, so these numbers are stored beside them, in a store of their own with the
rows of the source: `ids` are two float64, as `WORDS` int32. It is needed only where a recipe
takes the rows of a source from several token stores (`mtray.data.variant_tables`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from mtray.data.content_draws import uniform_by_content

Pair = tuple[str, str]
Places = npt.NDArray[np.intp]
Draws = npt.NDArray[np.float64]  # of direction and noise, shape (rows, 2)
DRAWS = "+draws"  # after a source's name; source names cannot contain a plus
WORDS = 4


def direction_draw(key: str, pair: Pair) -> float:
    """`key`: the study's seed and the source's name."""
    return uniform_by_content("direction", key, *pair)


def noise_draw(key: str, pair: Pair) -> float:
    return uniform_by_content("noise", key, *pair)


def draw_chunk(
    pairs: Sequence[Pair], key: str
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """The draws of rows for a token file: ids (tokens,), lengths and `loss_from` (rows,)."""
    found = [(direction_draw(key, pair), noise_draw(key, pair)) for pair in pairs]
    ids = np.array(found, np.float64).reshape(-1, 2).view(np.int32).reshape(-1)
    return ids, np.full(len(pairs), WORDS, np.int64), np.zeros(len(pairs), np.int32)


def as_draws(ids: npt.NDArray[np.int32]) -> Draws:
    """`ids` of all rows, concatenated, shape (rows * WORDS,)."""
    return np.ascontiguousarray(ids).view(np.float64).reshape(-1, 2)


def place_of_share(draw: float, shares: Iterable[float]) -> int:
    """Which of several shares, up to a common factor, a draw falls into."""
    ends = list(accumulate(shares))
    return min(bisect_right(ends, draw * ends[-1]), len(ends) - 1)  # rounding


def places_of_shares(draws: npt.NDArray[np.float64], shares: Iterable[float]) -> Places:
    """`place_of_share` of many draws, shape (rows,)."""
    ends = list(accumulate(shares))
    found = np.searchsorted(np.array(ends), draws * ends[-1], side="right")
    return np.minimum(found, len(ends) - 1)
