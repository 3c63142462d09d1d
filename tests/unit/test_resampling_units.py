"""What is resampled together: segments that share a text or a document, over all sets."""

import numpy as np
import pytest

from mtray.analysis.resampling_units import key_of, shared_units

# sets of segments' names -> which segments are one unit, as letters
CASES = {
    "apart": ([[("a",), ("b",)], [("c",)]], ["xy", "z"]),
    "both ways of a file": ([[("a", "A"), ("b", "B")], [("A", "a"), ("B", "b")]], ["xy", "xy"]),
    "a multi-parallel set": ([[("a", "A"), ("b", "B")], [("a", "1"), ("b", "2")]], ["xy", "xy"]),
    "over a third segment": ([[("a", "A")], [("A", "1")], [("1", "z")]], ["x", "x", "x"]),
    "a text twice in one set": ([[("a", "A"), ("b", "A"), ("c", "C")]], ["xxz"]),
    "a document": ([[("a", "d1"), ("b", "d1"), ("c", "d2")]], ["xxz"]),
    "without a name": ([[(), ()], [()]], ["xy", "z"]),
}


@pytest.mark.parametrize("sets, expected", CASES.values(), ids=CASES)
def test_segments_that_share_a_name_are_one_unit(sets, expected):
    found = [key for keys in shared_units(sets) for key in keys.tolist()]
    letters = "".join(expected)
    for i, a in enumerate(letters):
        for j, b in enumerate(letters):
            assert (found[i] == found[j]) == (a == b)


def test_the_order_does_not_matter():
    rng = np.random.default_rng(0)
    segments = [tuple(map(str, rng.integers(0, 60, 2))) for _ in range(40)]
    keys = dict(zip(segments, shared_units([segments])[0].tolist(), strict=True))
    shuffled = [segments[i] for i in rng.permutation(40)]
    apart = shared_units([shuffled[:15], shuffled[15:]])
    assert [keys[s] for s in shuffled] == [k for part in apart for k in part.tolist()]
    assert 1 < len(set(keys.values())) < 40


def test_keys_are_the_same_everywhere():
    assert key_of("a") == 1846446879560515080
    assert min(map(key_of, map(str, range(1000)))) >= 0
