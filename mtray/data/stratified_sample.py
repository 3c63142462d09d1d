"""Which rows of an evaluation set are measured: a seeded, stratified sample.

Systematic sampling with equal probabilities (Cochran 1977, Sampling Techniques, chapter 8) from a
list sorted by stratum. The rows of a stratum, and the strata, are in random order. For a random
start r of 0 ... n - 1, the sample has these positions of the list:

    floor((r + j n) / size),    j = 0 ... size - 1

So every row is taken for exactly `size` of the n starts, and a stratum of m rows contributes
floor(m size / n) or ceil(m size / n) of them. With one stratum this is a simple random sample.

Example: n = 6 rows of the documents a a a a b b, size = 3. With the list a3 a0 a2 a1 b5 b4 and
r = 2 the positions are floor(2/3), floor(8/3), floor(14/3) = 0, 2, 4: the rows 2, 3 and 5, two of
the four rows of a and one of the two of b.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from mtray.schema import Take

Strata = Sequence[Sequence[Hashable] | None]


def sample_indices(
    n: int, size: int, take: Take = "sample", seed: int = 0, strata: Strata = ()
) -> list[int]:
    """The indices of `size` of `n` rows in ascending order, all where there are no more.

    `strata`: labels of the rows, each (n,) or None where the set has none, outermost first, such as
    domains before documents. The result depends only on the arguments, and on labels only through
    which rows share one. So both directions of a file, and studies with different training seeds,
    use the same rows. Samples are not nested: a larger `size` takes other rows.
    """
    if take == "first" or size >= n:
        return list(range(min(n, size)))
    ranks = [_ranks(labels) for labels in strata if labels is not None]
    # raw words of the bit generator, whose stream is the same in every numpy version, unlike
    # `permutation`
    words = np.random.PCG64(seed).random_raw(n + 1 + sum(int(max(r)) + 1 for r in ranks))
    keys, start, rest = words[:n], int(words[n]) % n, words[n + 1 :]
    by_level = []
    for rank in ranks:
        shuffled, rest = rest[: rank.max() + 1], rest[rank.max() + 1 :]
        by_level.append(shuffled[rank])
    order = np.lexsort((keys, *reversed(by_level)))
    return sorted(int(order[(start + j * n) // size]) for j in range(size))


def _ranks(labels: Sequence[Hashable]) -> npt.NDArray[np.int64]:
    """Numbers for labels, in the order of their first rows."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(label, len(known)) for label in labels], dtype=np.int64)
