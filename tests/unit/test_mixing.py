"""What a recipe's numbers mean in examples, and that trials differ by the knob and not by luck."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtray.data.mixing import (
    OWN_DRAW,
    AllTokenSums,
    Draw,
    MixPart,
    draw,
    examples_for,
    largest_remainder,
    plan,
    shared_rows,
    source_order,
    tokens_of,
)
from mtray.errors import ConfigError, DataError
from mtray.schema import Mixing, Recipe, Source

LANGUAGES = {"parallel": ("en", "uk"), "mono": ("en",), "replay": (), "instruct": ()}


def source(kind, name=None, weight=1.0):
    return Source(
        name=name or kind, kind=kind, path="x.txt", languages=LANGUAGES[kind], weight=weight
    )


ONE_OF = ("parallel", "mono", "replay")
ONE_EACH = [source(kind) for kind in ONE_OF]

# parallel_size, mono_ratio, replay_fraction -> parallel, mono, replay
BY_HAND = [
    ((100, 0, 0), (100, 0, 0)),
    ((100, 1, 0), (100, 100, 0)),
    ((100, 2, 0), (100, 200, 0)),
    ((100, 0, 0.5), (100, 0, 100)),
    ((100, 1, 0.2), (100, 100, 50)),
    ((90, 0.5, 0.25), (90, 45, 45)),
    ((3, 0.5, 0), (3, 1, 0)),  # 4.5 examples are 4, and the half that is cut is mono's
    ((10, 0.29, 0.5), (10, 3, 13)),  # 2.9 and 12.9
    ((0, 2, 0.5), (0, 0, 0)),
]


@pytest.mark.parametrize("knobs, counts", BY_HAND)
def test_plan_by_hand(knobs, counts):
    size, ratio, fraction = knobs
    recipe = Recipe(parallel_size=size, mono_ratio=ratio, replay_fraction=fraction)
    parts = plan(recipe, ONE_EACH)
    assert tuple(p.count for p in parts) == counts
    assert [p.source for p in parts] == ["parallel", "mono", "replay"]
    total = sum(p.requested for p in parts)
    assert parts[1].requested == pytest.approx(ratio * size)
    assert parts[2].requested == pytest.approx(fraction * total)


def test_weights_share_within_a_kind():
    sources = [
        source("parallel", "a", 3), source("mono", "en", 1), source("parallel", "b", 1),
        source("mono", "uk", 1), source("mono", "es", 2),
    ]  # fmt: skip
    parts = plan(Recipe(parallel_size=100, mono_ratio=2), sources)
    counts = {p.source: p.count for p in parts}
    assert counts == {"a": 75, "b": 25, "en": 50, "uk": 50, "es": 100}
    assert [p.kind for p in parts] == ["parallel", "parallel", "mono", "mono", "mono"]


def test_equal_weights_are_the_recipes():
    sources = [source("parallel", "a", 3), source("parallel", "b"), source("mono", "c", 9)]
    recipe = Recipe(parallel_size=100, mono_ratio=1, source_weights="equal")
    assert [p.count for p in plan(recipe, sources)] == [50, 50, 100]


def test_instructions_count_to_replay():
    sources = [source("parallel"), source("replay", weight=3), source("instruct")]
    parts = plan(Recipe(parallel_size=100, replay_fraction=0.5), sources)
    assert [(p.kind, p.count) for p in parts] == [
        ("parallel", 100), ("replay", 75), ("instruct", 25),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "recipe, message",
    [
        (Recipe(parallel_size=1, mono_ratio=0.1), "mono_ratio is above 0 .* kind 'mono'"),
        (Recipe(parallel_size=1, replay_fraction=0.1), "replay_fraction .* kind 'replay'"),
    ],
)
def test_a_kind_without_a_source_is_an_error(recipe, message):
    with pytest.raises(ConfigError, match=message):
        plan(recipe, [source("parallel")])
    assert len(plan(Recipe(parallel_size=1), [source("parallel")])) == 1


def test_largest_remainder():
    # 0.29 of 100: int(100 * 0.29) would be 28
    assert largest_remainder([100 * 0.29, 71], 100) == [29, 71]
    assert largest_remainder([0.5, 0.5, 0.5], 2) == [1, 1, 0]
    assert largest_remainder([1.2, 1.7, 0.1], 3) == [1, 2, 0]
    with pytest.raises(ValueError, match="does not round to 5"):
        largest_remainder([1.0, 2.0], 5)


weights = st.lists(st.floats(0.01, 100), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 8), st.floats(0, 0.95), weights, weights, weights)
def test_counts_sum_to_the_whole_and_stay_within_one(size, ratio, fraction, a, b, c):
    sources = [
        source(kind, f"{kind}{i}", weight)
        for kind, found in zip(ONE_OF, (a, b, c), strict=True)
        for i, weight in enumerate(found)
    ]
    recipe = Recipe(parallel_size=size, mono_ratio=ratio, replay_fraction=fraction)
    parts = plan(recipe, sources)
    assert sum(p.count for p in parts) == round(sum(p.requested for p in parts))
    assert all(p.count >= 0 and abs(p.count - p.requested) < 1 for p in parts)
    whole = size * (1 + ratio) / (1 - fraction)
    assert math.isclose(sum(p.requested for p in parts), whole, rel_tol=1e-9)
    assert {p.source for p in parts} == {s.name for s in sources}


def drawn(count, size=50, seed=1, name="a", repeats=False, others=()):
    parts = [*others, MixPart(name, "mono", float(count), count)]
    held = {p.source: 50 for p in others} | {name: size}
    return source_order(seed, name, size)[draw(parts, held, repeats)[name]].tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 120), st.integers(0, 120), st.integers(1, 50), st.integers(0, 9))
def test_a_smaller_draw_is_a_prefix_of_a_larger_one(one, other, size, seed):
    small, large = sorted((one, other))
    shorter = drawn(small, size, seed, repeats=True)
    assert shorter == drawn(large, size, seed, repeats=True)[:small]
    assert len(shorter) == small
    assert len(set(shorter)) == min(small, size)


def test_the_order_hangs_on_seed_and_name_alone():
    others = [MixPart("b", "mono", 7.0, 7), MixPart("c", "parallel", 3.0, 3)]
    alone = drawn(20)
    assert alone == drawn(20, others=others) == drawn(20, others=others[::-1])
    assert alone != drawn(20, seed=2)
    assert alone != drawn(20, name="b")
    # pinned: a change of the order would make old and new trials of one study incomparable
    assert source_order(1, "tatoeba", 8).tolist() == [0, 6, 7, 1, 5, 4, 2, 3]


def test_running_short():
    with pytest.raises(DataError, match="'a' holds 50 examples and the recipe asks for 51"):
        drawn(51)
    assert sorted(drawn(50)) == list(range(50))
    twice = drawn(101, repeats=True)
    assert twice[:50] == twice[50:100] and twice[100] == twice[0]


@pytest.mark.parametrize(
    "replicate, tokens, repeats, drawn",
    [
        (0, None, False, None), (1, None, False, None), (0, 99.0, False, None),
        (1, 99.0, False, 60), (1, 99.0, True, 63), (0, None, True, 63),
    ],
)  # fmt: skip
def test_a_replicate_that_needs_more_tokens_than_there_are_takes_all(
    replicate, tokens, repeats, drawn
):
    """By its draw it may need a few rows more than the first one, which fitted."""
    part, which = MixPart("a", "mono", 63.0, 63, tokens), Draw(1, replicate)
    if drawn is None:
        with pytest.raises(DataError, match="holds 60 examples and the recipe asks for 63"):
            draw([part], {"a": 60}, repeats, which)
    else:
        found = draw([part], {"a": 60}, repeats, which)["a"].tolist()
        assert len(found) == drawn and set(found) == set(range(60))


def rows(which, count, held=60, name="a", repeats=False):
    return draw([MixPart(name, "mono", float(count), count)], {name: held}, repeats, which)[
        name
    ].tolist()


def test_the_studys_own_draw_is_a_prefix_as_ever():
    assert rows(OWN_DRAW, 9) == rows(Draw(7, 0), 9) == list(range(9))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 90), st.integers(0, 90), st.integers(1, 60), st.integers(0, 5))
def test_draws_of_one_replicate_are_nested(one, other, held, replicate):
    small, large = sorted((one, other))
    which = Draw(3, replicate)
    shorter = rows(which, small, held, repeats=True)
    assert shorter == rows(which, large, held, repeats=True)[:small]
    assert len(set(shorter)) == min(small, held), "repeated only where the source runs short"


def test_replicates_draw_as_differently_as_chance_has_it():
    draws = [set(rows(Draw(1, k), 400, held=600)) for k in range(6)]
    shared = [len(a & b) / 400 for i, a in enumerate(draws) for b in draws[:i]]
    assert all(abs(s - 400 / 600) < 0.07 for s in shared)
    assert rows(Draw(1, 1), 20) != rows(Draw(2, 1), 20)
    assert rows(Draw(1, 1), 20) != rows(Draw(1, 1), 20, name="b")
    # pinned: a rerun of a replicate must draw what it drew
    assert rows(Draw(1, 1), 8, held=8) == [1, 5, 2, 7, 6, 4, 3, 0]


@pytest.mark.parametrize(
    "places, replicate, shared",
    [
        ([0, 1, 2], 0, 0),  # the study's own draw
        ([2, 0, 1], 1, 3),
        ([3, 4, 5], 1, 0),
        ([9, 2, 4, 0], 2, 2),
        ([1, 0, 1, 0, 1], 1, 5),  # begun again
        ([], 1, 0),
    ],
)
def test_rows_shared_with_the_studys_own_draw(places, replicate, shared):
    assert shared_rows(np.array(places, np.int64), Draw(1, replicate)) == shared


lengths = st.lists(st.integers(1, 40), min_size=1, max_size=30)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 60), st.floats(0, 4), st.floats(0, 0.8), st.tuples(*[lengths] * 4))
def test_ratios_by_token(size, ratio, fraction, found):
    """Requested and realised differ by less than one example, in examples and in tokens."""
    names = ["a", "b", "c", "d"]
    kinds = ["parallel", "mono", "mono", "replay"]
    sources = [source(k, n, w) for k, n, w in zip(kinds, names, (1, 1, 2, 1), strict=True)]
    sums = {n: np.cumsum(f) for n, f in zip(names, found, strict=True)}
    recipe = Recipe(parallel_size=size, mono_ratio=ratio, replay_fraction=fraction)
    parts = {p.source: p for p in plan(recipe, sources, sums)}
    realised = {n: sum(np.resize(f, parts[n].count)) for n, f in zip(names, found, strict=True)}
    assert parts["a"].count == size and parts["a"].requested_tokens is None
    mono = ratio * realised["a"]
    wanted = {"b": mono / 3, "c": 2 * mono / 3,
              "d": fraction / (1 - fraction) * (realised["a"] + mono)}  # fmt: skip
    for name, tokens in wanted.items():
        part = parts[name]
        assert part.requested_tokens == pytest.approx(tokens)
        assert abs(part.count - part.requested) < 1
        longest = max(found[names.index(name)])
        assert abs(realised[name] - tokens) <= longest / 2 + 1e-6
        assert tokens_of(sums[name], part.count) == realised[name]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.floats(0, 3), lengths, lengths)
def test_a_larger_recipe_by_token_draws_no_less(one, other, ratio, a, b):
    sums = {"parallel": np.cumsum(a), "mono": np.cumsum(b)}
    small, large = (
        [p.count for p in plan(Recipe(parallel_size=n, mono_ratio=ratio), ONE_EACH[:2], sums)]
        for n in sorted((one, other))
    )
    assert all(x <= y for x, y in zip(small, large, strict=True))


# three examples of p have 3, 1 and 4 tokens, two of q 5 and 5, all of m 2. 12 tokens of parallel,
# weights 2 : 1, are 8 of p and 4 of q: all 3 examples of p, and of q .8, so 1: 13 tokens
BY_TOKEN = [
    ({"p": 1.0, "q": 1.0}, 8, 0.0, {"p": 2, "q": 1, "m": 0}),  # 4 and 4: p 3 + 1; q .8
    ({"p": 2.0, "q": 1.0}, 12, 0.0, {"p": 3, "q": 1, "m": 0}),
    ({"p": 2.0, "q": 1.0}, 12, 1.0, {"p": 3, "q": 1, "m": 7}),  # 13 tokens: 6.5, rounded up
    ({"p": 2.0, "q": 1.0}, 24, 0.0, {"p": 6, "q": 2, "m": 0}),  # p is repeated
]


@pytest.mark.parametrize("weights, size, ratio, counts", BY_TOKEN)
def test_parallel_tokens_by_hand(weights, size, ratio, counts):
    sources = [source("parallel", n, w) for n, w in weights.items()] + [source("mono", "m")]
    found = {"p": [3, 1, 4], "q": [5, 5], "m": [2]}
    sums = AllTokenSums({name: np.cumsum(f) for name, f in found.items()})
    parts = plan(Recipe(parallel_size=size, mono_ratio=ratio), sources, sums)
    assert {part.source: part.count for part in parts} == counts
    asked = [part.requested_tokens for part in parts]
    total = sum(weights.values())
    assert asked[:2] == pytest.approx([size * w / total for w in weights.values()])
    by_example = plan(Recipe(parallel_size=3), sources, dict(sums))
    assert [part.requested_tokens for part in by_example] == [None, None, 0.0]


@settings(max_examples=100, deadline=None)
@given(st.integers(100, 900), st.integers(100, 900), st.floats(0, 3), st.tuples(*[lengths] * 3))
def test_laws_of_parallel_tokens(one, other, ratio, found):
    """Every source comes nearest to its share, the shares sum to the size, and a larger recipe
    draws no less."""
    names, kinds = ["p", "q", "m"], ["parallel", "parallel", "mono"]
    sources = [source(k, n, w) for k, n, w in zip(kinds, names, (1, 2, 1), strict=True)]
    sums = AllTokenSums({n: np.cumsum(f) for n, f in zip(names, found, strict=True)})
    small, large = (
        plan(Recipe(parallel_size=n, mono_ratio=ratio), sources, sums) for n in sorted((one, other))
    )
    assert all(a.count <= b.count for a, b in zip(small, large, strict=True))
    for part in small:
        realised = tokens_of(sums[part.source], part.count)
        longest = max(found[names.index(part.source)])
        assert abs(realised - part.requested_tokens) <= longest / 2 + 1e-6
    pairs = [part for part in small if part.kind == "parallel"]
    assert sum(part.requested_tokens for part in pairs) == pytest.approx(min(one, other))


@pytest.mark.parametrize("size, counts", [(0, [0, 0]), (1, [0, 1]), (4, [0, 1]), (12, [1, 1])])
def test_few_tokens_of_pairs_are_an_example(size, counts):
    """2 of 9 tokens and 2 of 7 round to no example; a recipe with parallel data has one."""
    sums = AllTokenSums({"p": np.cumsum([9, 9]), "q": np.cumsum([7, 7])})
    sources = [source("parallel", "p"), source("parallel", "q")]
    assert [p.count for p in plan(Recipe(parallel_size=size), sources, sums)] == counts


def test_tokens_of_pairs_need_ratios_in_tokens():
    with pytest.raises(ValueError, match="`parallel: tokens` needs `count: tokens`"):
        Mixing(parallel="tokens")


def test_tokens_by_hand():
    sums = np.cumsum([3, 1, 4])
    # 5 tokens: the first two examples and a quarter of the third; begun again after 8
    assert [examples_for(sums, t) for t in (0, 3, 5, 8, 8.5)] == [0, 1, 2.25, 3, 3 + 1 / 6]
    assert [tokens_of(sums, n) for n in range(5)] == [0, 3, 4, 8, 11]
