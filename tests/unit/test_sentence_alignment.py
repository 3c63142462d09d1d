"""Sentences of many scripts, and which of two texts belong together."""

import itertools
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtray.evaluation.metrics.sentence_alignment import (
    NEXT_MISSING,
    OVERLAP,
    PRIORS,
    _costs,
    aligned,
    lines,
    pieces,
    sentences,
)

SENTENCES = {
    "plain": ("One. Two! Three?", ["One.", "Two!", "Three?"]),
    "quotes": ('He said "No." Then "Yes!"', ['He said "No."', 'Then "Yes!"']),
    "ellipsis and a small letter": ("Well... maybe. Yes.", ["Well... maybe.", "Yes."]),
    "initials": ("J. R. Smith came. He sat.", ["J. R. Smith came.", "He sat."]),
    "a list": ("1. First. 2. Second.", ["1. First.", "2. Second."]),
    "a decimal": ("It costs 3.50 euros. Cheap.", ["It costs 3.50 euros.", "Cheap."]),
    "Chinese": ("他来了。她走了！“好。”完", ["他来了。", "她走了！", "“好。”", "完"]),
    "Hindi": ("वह आया। वह गया।", ["वह आया।", "वह गया।"]),
    "Arabic": ("هل جاء؟ نعم.", ["هل جاء؟", "نعم."]),
    "Urdu": ("وہ آیا۔ وہ گیا۔", ["وہ آیا۔", "وہ گیا۔"]),
    "Armenian": ("Նա եկավ։ Նա գնաց։", ["Նա եկավ։", "Նա գնաց։"]),
    "Amharic": ("መጣ። ሄደ።", ["መጣ።", "ሄደ።"]),
    "Burmese": ("သူလာသည်။ သူသွားသည်။", ["သူလာသည်။", "သူသွားသည်။"]),
    "Khmer": ("គាត់មក។ គាត់ទៅ។", ["គាត់មក។", "គាត់ទៅ។"]),
    "lines": ("A heading\n\nIts text. More", ["A heading", "Its text.", "More"]),
    "no sign": ("no sign at all", ["no sign at all"]),
    "nothing": (" \n ", []),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_sentences(case):
    text, expected = SENTENCES[case]
    assert [text[a:b] for a, b in sentences(text)] == expected


@pytest.mark.parametrize("cut", [lines, sentences, pieces])
@given(text=st.text(alphabet="ab.!。 \nЩ1۔"))
def test_nothing_is_lost_or_read_twice(cut, text):
    found = cut(text)
    assert all(text[a:b] and text[a:b].strip() == text[a:b] for a, b in found)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(found))
    kept = "".join(text[a:b] for a, b in found)
    assert re.sub(r"\s", "", kept) == re.sub(r"\s", "", text)


def test_pieces_end_between_words_where_there_are_any():
    text = "abcdefghi " * 12
    assert [b - a for a, b in pieces(text)] == [49, 49, 19]
    assert [b - a for a, b in pieces("字" * 120)] == [50, 50, 20]


def test_the_cost_of_a_bead_is_gale_and_churchs_less_what_the_texts_share():
    """Lengths 10 and 20 with a ratio of 1: delta = 10 / sqrt(6.8 * 15) = .9901, and twice the tail
    of the normal distribution beyond it is .3221."""
    cost = float(_costs((1, 1), ["a" * 10], ["b" * 20], 1.0)[0, 0])
    assert cost == pytest.approx(-math.log(0.89) - math.log(0.3221), abs=1e-3)
    scaled = float(_costs((1, 1), ["a" * 10], ["b" * 20], 0.5)[0, 0])
    assert scaled == pytest.approx(-math.log(0.89)), "twice as long, as expected"
    equal = float(_costs((1, 1), ["same words"], ["same words"], 1.0)[0, 0])
    assert equal == pytest.approx(-math.log(0.89) - OVERLAP)
    assert float(_costs((1, 0), ["a" * 999], [], 1.0)[0, 0]) == -math.log(PRIORS[1, 0])
    assert -math.log(PRIORS[1, 0]) > NEXT_MISSING


A, B, C, D = (
    "The old man went to the market.",
    "Nobody knew how long the winter would last, and nobody asked.",
    "She laughed at the young man for a while, as she often did.",
    "Their train left at nine in the morning from the northern station.",
)
NOISE = "zzq wvx kkp qqj xxw vvz"
ALIGNED = {
    "one to one": ([A, B, C, D], [A, B, C, D], [(1, 1), (2, 2), (3, 3), (4, 4)]),
    "two for one": ([f"{A} {B}", D], [A, B, D], [(1, 2), (2, 3)]),
    "one for two": ([A, B, D], [f"{A} {B}", D], [(2, 1), (3, 2)]),
    "the second half is missing": ([A, B], [A, B, C, D], [(1, 1), (2, 2), (2, 3), (2, 4)]),
    "the middle is missing": ([A, D], [A, B, C, D], [(1, 1), (1, 2), (1, 3), (2, 4)]),
    "the beginning is missing": ([C, D], [A, B, C, D], [(0, 1), (0, 2), (1, 3), (2, 4)]),
    "too much belongs to the sentence before": ([A, B, NOISE], [A, B], [(1, 1), (3, 2)]),
    "too much at the beginning belongs to the first": ([NOISE, A, B], [A, B], [(2, 1), (3, 2)]),
    "one in the place of several": ([A, NOISE * 20], [A, B, C, D], [(1, 1), (2, 4)]),
    "nothing": ([], [A, B], [(0, 1), (0, 2)]),
}


@pytest.mark.parametrize("case", ALIGNED)
def test_alignments(case):
    left, right, expected = ALIGNED[case]
    assert aligned(left, right, 1.0, missing=True) == expected


def test_a_source_has_a_counterpart_for_every_sentence():
    assert aligned([A, D], [A, B, C, D], 1.0, missing=False) == [(1, 3), (2, 4)]
    assert aligned([C, D], [A, B, C, D], 1.0, missing=False) == [(1, 3), (2, 4)]
    assert aligned([], [A, B], 1.0, missing=False) == [(0, 2)]


@given(
    left=st.lists(st.text("abc ", min_size=1, max_size=40), max_size=6),
    right=st.lists(st.text("abc ", min_size=1, max_size=40), min_size=1, max_size=6),
    missing=st.booleans(),
)
def test_groups_cover_both_texts_in_order(left, right, missing):
    found = aligned(left, right, 1.0, missing)
    assert found[-1] == (len(left), len(right))
    starts = [(0, 0), *found]
    for (i, j), (k, m) in zip(starts, found, strict=False):
        assert m > j, "each group has something on the right"
        assert k >= i if missing or not left else k > i
