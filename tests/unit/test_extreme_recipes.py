"""The corners of a space with conditions, and the most that any of its recipes asks of a source."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from records_factory import make_study

from mtray.data.mixing import AllTokenSums, plan
from mtray.errors import DataError
from mtray.schema import Source, Training
from mtray.search.strategy.largest_recipes import (
    at_most,
    check_source_sizes,
    largest_recipes,
    most_requested,
)
from mtray.search_space.extreme_recipes import extreme_recipes
from mtray.search_space.parameters import Choices, Condition, FloatRange, IntRange
from mtray.search_space.space import Space, load_space
from mtray.search_space.unit_cube import at_quantile

SOURCES = (
    Source(name="a", kind="parallel", path="a", languages=("en", "uk")),
    Source(name="b", kind="parallel", path="b", languages=("en", "uk"), weight=0.3),
    Source(name="mono", kind="mono", path="m", languages=("en",)),
    Source(name="replay", kind="replay", path="r"),
    Source(name="tasks", kind="instruct", path="t", weight=2.5),
)
STUDY = make_study(sources=SOURCES)
NAMES = ("mono_ratio", "replay_fraction", "few_shot_share", "frozen_layers", "method")
CEILINGS = {"mono_ratio": 3.0, "replay_fraction": 0.9, "few_shot_share": 1.0, "frozen_layers": 6}


def number(top):
    return st.one_of(st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5]), st.floats(0, 1)).map(
        lambda share: round(share * top, 6)
    )


@st.composite
def ranges(draw, name):
    if name == "method":
        words = draw(st.lists(st.sampled_from(["full", "lora", "qlora"]), min_size=1, unique=True))
        return Choices(type="categorical", choices=tuple(words))
    top = CEILINGS[name]
    ends = sorted((draw(number(top)), draw(number(top))))
    if name == "frozen_layers":
        low, high = int(ends[0]), int(ends[1])
        return IntRange(type="int", low=low, high=high, step=draw(st.integers(1, 3)))
    if draw(st.booleans()):
        return Choices(type="categorical", choices=tuple({*ends, draw(number(top))}))
    step = draw(st.sampled_from([None, 0.1, 0.07]))
    assume(step is None or step <= ends[1] - ends[0] or ends[0] == ends[1])
    return FloatRange(type="float", low=ends[0], high=ends[1], step=step)


@st.composite
def conditions(draw, other):
    if other == "method":
        return Condition(among=tuple(draw(st.sets(st.sampled_from(["full", "lora"]), min_size=1))))
    limits = number(CEILINGS.get(other, 300.0))  # of parallel_size
    above, below = draw(st.none() | limits), draw(st.none() | limits)
    assume(above is not None or below is not None)
    return Condition(above=above, below=below)


@st.composite
def spaces(draw):
    """Any parameters, each depending on some of those before it."""
    sizes = sorted((draw(st.integers(1, 300)), draw(st.integers(1, 300))))
    parameters = {"parallel_size": IntRange(type="int", low=sizes[0], high=sizes[1])}
    order = draw(st.permutations(NAMES))[: draw(st.integers(1, len(NAMES)))]
    for name in order:
        others = draw(st.lists(st.sampled_from(sorted(parameters)), max_size=2, unique=True))
        when = {other: draw(conditions(other)) for other in others}
        parameters[name] = draw(ranges(name)).model_copy(update={"when": when})
    return Space(parameters=parameters)


def suggestions(space):
    """Recipes of a space: random ones, and those at the ends of every range."""
    edges = st.one_of(st.sampled_from([0.0, 1 - 1e-12]), st.floats(0, 1, exclude_max=True))
    distributions = space.distributions()
    shares = st.fixed_dictionaries({name: edges for name in distributions})
    return shares.map(
        lambda found: space.recipe({n: at_quantile(distributions[n], u) for n, u in found.items()})
    )


@pytest.mark.filterwarnings("ignore:The distribution is specified by")
@settings(max_examples=300, deadline=None)
@given(spaces(), st.data())
def test_every_recipe_lies_between_corners(space, data):
    """On every side that its numbers could be wanted on, and with its words."""
    recipe = data.draw(suggestions(space))
    sides = data.draw(st.tuples(*[st.sampled_from([-1, 1])] * 4))
    numbers = dict(zip(CEILINGS, sides, strict=True))
    assert any(
        corner.method == recipe.method
        and all(s * getattr(corner, n) >= s * getattr(recipe, n) for n, s in numbers.items())
        for corner in extreme_recipes(space, *NAMES)
    )


@pytest.mark.filterwarnings("ignore:The distribution is specified by")
@settings(max_examples=300, deadline=None)
@given(spaces(), st.data())
def test_no_recipe_asks_more_than_the_most(space, data):
    recipe = data.draw(suggestions(space))
    most = most_requested(largest_recipes(space), STUDY)
    assert all(part.count <= most[part.source] for part in plan(recipe, SOURCES))


texts = st.lists(st.integers(1, 12), min_size=30, max_size=60)


@pytest.mark.filterwarnings("ignore:The distribution is specified by")
@settings(max_examples=100, deadline=None)
@given(spaces(), st.data(), st.tuples(*[texts] * 5), st.sampled_from([dict, AllTokenSums]))
def test_nor_where_tokens_are_counted(space, data, found, unit):
    sums = unit({s.name: np.cumsum(f) for s, f in zip(SOURCES, found, strict=True)})
    recipe = data.draw(suggestions(space))
    most = dict.fromkeys(sums, 0)
    for large in largest_recipes(space):
        for name, count in at_most(large, SOURCES, sums).items():
            most[name] = max(most[name], count)
    assert all(part.count <= most[part.source] for part in plan(recipe, SOURCES, sums))


ONE_EACH = (SOURCES[0], SOURCES[2], SOURCES[3])
MONO = "parallel_size: 1000\nlearning_rate: 0.001\nmono_ratio: {type: float, low: 0, high: 1}\n"
REPLAY = "replay_fraction: {type: float, low: 0, high: 0.5, when: {%s}}\n"
LARGEST = {
    "no condition": (MONO + "replay_fraction: 0.5\n", [(1.0, 0.5)]),
    "on where the other is small": (
        MONO + REPLAY % "mono_ratio: {below: 0.5}", [(1.0, 0.0), (np.nextafter(0.5, 0), 0.5)],
    ),
    "on where the other is large": (MONO + REPLAY % "mono_ratio: {above: 0.5}", [(1.0, 0.5)]),
    "on in the middle": (
        MONO + REPLAY % "mono_ratio: {above: 0.2, below: 0.4}",
        [(1.0, 0.0), (np.nextafter(0.4, 0), 0.5)],
    ),
    "on by a word": (
        MONO + "method: {type: categorical, choices: [full, lora]}\n"
        + REPLAY % "method: {among: [lora]}", [(1.0, 0.5)],
    ),
    "by way of a third": (
        MONO + "frozen_layers: {type: int, low: 1, high: 3, when: {mono_ratio: {below: 0.7}}}\n"
        + REPLAY % "frozen_layers: {above: 0}", [(1.0, 0.0), (np.nextafter(0.7, 0), 0.5)],
    ),
    "in steps": (
        MONO.replace("high: 1}", "high: 1, step: 0.3}") + REPLAY % "mono_ratio: {below: 0.7}",
        [(0.9, 0.0), (0.6, 0.5)],
    ),
}  # fmt: skip


def loaded(tmp_path, text):
    (tmp_path / "space.yaml").write_text(text)
    return load_space(tmp_path / "space.yaml")


@pytest.mark.filterwarnings("ignore:The distribution is specified by")
@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_recipes(tmp_path, name):
    text, expected = LARGEST[name]
    found = [(r.mono_ratio, r.replay_fraction) for r in largest_recipes(loaded(tmp_path, text))]
    assert np.array(sorted(found)) == pytest.approx(np.array(sorted(expected)), rel=1e-12)


EITHER = MONO + REPLAY % "mono_ratio: {below: 0.5}"  # 1,000 of mono, or 1,500 of replay
THREE = tuple(
    Source(name=f"p{i}", kind="parallel", path="p", languages=("en", "uk")) for i in range(3)
)
THIRDS = "parallel_size: {type: int, low: 90, high: %d}\nlearning_rate: 0.001\n"
# sources, and what each holds
FIT = {
    "all that is ever asked": (EITHER, ONE_EACH, (1000, 1000, 1500)),
    "rounding that goes another way": (THIRDS % 100, THREE, (34, 33, 33)),
}
SHORT = {
    "where the other is off": (
        EITHER, ONE_EACH, (1000, 1000, 1498), r"'replay' holds 1,498 .* largest recipe "
        r"\(parallel_size 1000, mono_ratio 0.5, replay_fraction 0.5\) asks for 1,500",
    ),
    "where this one is off": (
        EITHER, ONE_EACH, (1000, 999, 1500), r"'mono' .* \(.*mono_ratio 1\) asks for 1,000",
    ),
    "by one example, through rounding": (
        THIRDS % 101, THREE, (34, 33, 33), "'p1' holds 33 .* asks for 34"
    ),
}  # fmt: skip


def held(sources, sizes):
    return {s.name: range(size) for s, size in zip(sources, sizes, strict=True)}


@pytest.mark.parametrize("name", FIT)
def test_a_study_all_of_whose_recipes_fit_is_not_refused(tmp_path, name):
    text, sources, sizes = FIT[name]
    check_source_sizes(
        largest_recipes(loaded(tmp_path, text)), make_study(sources=sources), held(sources, sizes)
    )


@pytest.mark.parametrize("name", SHORT)
def test_a_study_with_a_recipe_that_does_not_fit_is_refused(tmp_path, name):
    text, sources, sizes, message = SHORT[name]
    largest, study = largest_recipes(loaded(tmp_path, text)), make_study(sources=sources)
    with pytest.raises(DataError, match=message):
        check_source_sizes(largest, study, held(sources, sizes))
    repeating = make_study(sources=sources, training=Training(allow_repeats=True))
    check_source_sizes(largest, repeating, held(sources, sizes))
