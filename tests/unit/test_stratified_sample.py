"""Which rows of an evaluation set are measured: an example by hand, and the laws of the sample."""

from collections import Counter

import numpy as np
import pytest

from mtray.data.stratified_sample import sample_indices

# a long document first, as one chat is in WMT22; documents of one row last
LABELS = ["chat"] * 20 + ["news"] * 10 + [f"d{i}" for i in range(10)]
DOMAINS = ["chat"] * 20 + ["news"] * 15 + ["social"] * 5


class Words:
    """A bit generator of chosen words."""

    def __init__(self, *words):
        self.words = words

    def random_raw(self, n):
        assert n == len(self.words)
        return np.array(self.words, dtype=np.uint64)


@pytest.mark.parametrize(
    ("start", "ranks", "size", "expected"),
    [
        (8, (40, 50), 3, [2, 3, 5]),  # the module's example: the list 3 0 2 1 5 4, places 0 2 4
        (9, (40, 50), 3, [0, 1, 4]),  # r = 3: places 1 3 5
        (2, (40, 50), 4, [1, 2, 3, 4]),  # places 0 2 3 5
        (2, (50, 40), 4, [0, 1, 3, 5]),  # b before a, the list 5 4 3 0 2 1: places 0 2 3 5
    ],
)
def test_by_hand(monkeypatch, start, ranks, size, expected):
    """Keys that put the rows of a in the order 3 0 2 1 and those of b in 5 4; the start's word; the
    keys of a and of b."""
    words = Words(1, 3, 2, 0, 9, 8, start, *ranks)
    monkeypatch.setattr("mtray.data.stratified_sample.np.random.PCG64", lambda _: words)
    assert sample_indices(6, size, strata=["aaaabb"]) == expected


def test_which_rows_stays_the_same_in_every_version():
    """Runs compare with older ones only on the same rows."""
    assert sample_indices(10, 3) == [3, 7, 8]
    assert sample_indices(40, 8, strata=[DOMAINS, LABELS]) == [4, 8, 9, 15, 23, 26, 33, 36]


@pytest.mark.parametrize("strata", [(), [None], [LABELS], [DOMAINS, LABELS], [None, LABELS]])
@pytest.mark.parametrize("size", [1, 7, 8, 33])
def test_every_row_has_the_same_chance(strata, size):
    n, seeds = len(LABELS), 2000
    counts = Counter(
        i for seed in range(seeds) for i in sample_indices(n, size, seed=seed, strata=strata)
    )
    expected = size / n
    error = (expected * (1 - expected) / seeds) ** 0.5
    assert sum(counts.values()) == size * seeds
    for row in range(n):
        assert abs(counts[row] / seeds - expected) < 4.5 * error, row


@pytest.mark.parametrize("size", [1, 8, 13, 39])
@pytest.mark.parametrize("seed", range(20))
def test_strata_have_their_shares(size, seed):
    found = sample_indices(len(LABELS), size, seed=seed, strata=[DOMAINS, LABELS])
    assert len(set(found)) == size and found == sorted(found)
    for labels in (DOMAINS, LABELS):
        counts = Counter(labels[i] for i in found)
        for label, rows in Counter(labels).items():
            assert abs(counts[label] - rows * size / len(labels)) < 1, label


def test_what_the_rows_depend_on():
    some = sample_indices(40, 8, strata=[LABELS])
    assert (
        some
        == sample_indices(40, 8, strata=[LABELS])
        == sample_indices(40, 8, strata=[None, LABELS])
    )
    assert some == sample_indices(40, 8, strata=[[hash(label) for label in LABELS]]), (
        "names do not matter"
    )
    assert some != sample_indices(40, 8, seed=1, strata=[LABELS])
    assert some != sample_indices(40, 8)
    # rows of a period, such as every second one of a register, are no danger
    halves = {sum(i % 2 for i in sample_indices(40, 20, seed=seed)) for seed in range(20)}
    assert len(halves) > 2


@pytest.mark.parametrize(
    ("n", "size", "take", "expected"),
    [
        (5, 2, "first", [0, 1]),
        (2, 5, "first", [0, 1]),
        (3, 3, "sample", [0, 1, 2]),
        (3, 9, "sample", [0, 1, 2]),
        (0, 9, "sample", []),
    ],
)
def test_the_first_rows_or_all(n, size, take, expected):
    assert sample_indices(n, size, take, strata=[list(range(n))]) == expected
