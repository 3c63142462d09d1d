"""Weights of sources in recipes and spaces: what they draw, and mistakes."""

import pickle
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from records_factory import make_study
from weights_factory import NAMED, SHARES, SOURCES, counts, recipe, space_of

from mtray.commands.data_tables import recipe_of
from mtray.data.mixing import plan
from mtray.data.store import select
from mtray.data.tables import TokenTable
from mtray.errors import ConfigError
from mtray.schema import Recipe


@pytest.fixture
def space(tmp_path):
    return space_of(tmp_path)


# what is drawn

BY_HAND = [
    (recipe(), (30, 10, 20)),  # the study's 3, 1 and 2
    (recipe(web=3, news=1, books=2), (30, 10, 20)),
    (recipe(web=0.5, news=1 / 6, books=1 / 3), (30, 10, 20)),
    (recipe(web=0, news=1, books=1), (0, 30, 30)),
    (recipe(web=0), (0, 20, 40)),  # the others keep the study's
    (recipe(web=1, news=0, books=0), (60, 0, 0)),
    (recipe(news=4).with_values({"source_weights": "equal"}), (10, 40, 10)),
]


@pytest.mark.parametrize("found, mono", BY_HAND)
def test_counts_by_hand(found, mono):
    assert counts(found) == dict(zip(("pairs", "web", "news", "books"), (60, *mono), strict=True))


weights_of_three = st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda w: sum(w) > 0.1)


@example([1.0, 1.0, 0.125], 1, 1.5)
@settings(deadline=None)
@given(weights_of_three, st.integers(1, 500), st.floats(0, 2))
def test_counts_sum_to_what_is_asked(weights, size, ratio):
    given_ = dict(zip(NAMED, weights, strict=True))
    found = Recipe(parallel_size=size, mono_ratio=ratio).with_values(given_)
    parts = plan(found, SOURCES)
    assert sum(p.count for p in parts) == round(size + ratio * size)
    mono = [p for p in parts if p.kind == "mono"]
    for part, weight in zip(mono, weights, strict=True):
        assert part.requested == pytest.approx(ratio * size * weight / sum(weights))
        assert weight > 0 or part.count == 0


def table(count, start):
    ids = np.arange(start, start + 2 * count, dtype=np.int32)
    return TokenTable(ids, np.arange(2, 2 * count + 2, 2), np.ones(count, np.int32), 0, count)


STORED = {s.name: table(100, 1000 * place) for place, s in enumerate(SOURCES)}


def test_a_weight_of_0_is_a_study_without_the_source():
    """The same examples, share by share; its own share is there with none."""
    without = tuple(s for s in SOURCES if s.name != "web")
    examples, mix = select(STORED, plan(recipe(web=0), SOURCES), False)
    other, smaller = select(STORED, plan(recipe(), without), False)
    assert [ids.tolist() for ids, _ in examples] == [ids.tolist() for ids, _ in other]
    assert [s for s in mix.shares if s.source != "web"] == list(smaller.shares)
    (left_out,) = (s for s in mix.shares if s.source == "web")
    assert (left_out.realised, left_out.requested, left_out.tokens) == (0, 0, 0)


def test_the_studys_own_weights_give_its_own_mix():
    own = recipe(**{s.name: s.weight for s in SOURCES})
    assert (
        select(STORED, plan(own, SOURCES), False)[1]
        == select(STORED, plan(recipe(), SOURCES), False)[1]
    )


def test_the_order_of_the_weights_does_not_matter():
    one, other = recipe(web=0.2, news=0.8), recipe(news=0.8, web=0.2)
    assert one == other and hash(one) == hash(other)
    assert one.model_dump_json() == other.model_dump_json()
    assert Recipe.model_validate_json(one.model_dump_json()) == one
    early = pickle.loads(pickle.dumps(one)).model_copy(update={"stop_after": 0.5})
    assert early.weights == one.weights == {"news": 0.8, "web": 0.2} and early != one
    # of the sources neither, as far as nothing is rounded
    assert counts(recipe(web=0.5, news=0.25, books=0.25), SOURCES[::-1]) == {
        "pairs": 60, "web": 30, "news": 15, "books": 15,
    }  # fmt: skip


def test_a_kind_without_any_weight_is_an_error():
    with pytest.raises(ConfigError, match="every source of kind 'mono' has weight 0: "):
        plan(recipe(web=0, news=0, books=0), SOURCES)
    assert counts(recipe(web=0, news=0, books=0).with_values({"mono_ratio": 0.0}))["web"] == 0


@pytest.mark.parametrize("key, value", [("weight.a", -1), ("weight.a", "much"), ("wieght.a", 1),
                                        ("weight.", 1), ("weight.a", float("inf"))])  # fmt: skip
def test_what_no_recipe_may_have(key, value):
    with pytest.raises(ValueError, match=re.escape(key)):
        Recipe.model_validate({"parallel_size": 1, key: value})


def test_recipes_of_earlier_versions_are_as_they_were():
    assert recipe().weights == {} and "weight" not in recipe().model_dump_json().replace(
        "source_weights", ""
    ).replace("weight_decay", "")
    assert recipe().value("weight.web") is None and recipe(web=0.5).value("weight.web") == 0.5
    assert recipe().hashed_fields() == recipe(web=0.5).hashed_fields()


# the space

WRONG = [
    (
        "weight.wbe: {type: share}",
        r"weight.wbe: the study has no such source; allowed: weight.pairs",
    ),
    ("weight.web: {type: share}", "weight.web is searched, and weight.news, of the same kind"),
    (
        "weight.web: {type: share}\nweight.news: 0.5\nweight.books: 0.1",
        "weight.web is the only weight of kind mono that is searched, so it can only be 0.4",
    ),
    (
        "weight.web: {type: share}\nweight.news: 1\nweight.books: {type: share}",
        "weight.news 1 leave nothing for weight.web, weight.books",
    ),
    ("weight.web: {type: float, low: 0, high: 1}", "weight.web.type: float is not possible"),
    ("few_shot_share: {type: share}", "few_shot_share.type: share is not possible"),
    ("weight.web: {type: share, low: 0.1}", "weight.web: a share has no key low; allowed: type"),
    (
        SHARES.replace("share}", "share, guess: 1.5}", 1),
        "weight.web: guess 1.5 is not within 0.0 to 1.0",
    ),
    ("weight.web: -1", "weight.web: Input should be greater than or equal to 0"),
    (
        SHARES + "frozen_layers: {type: int, low: 0, high: 2, when: {weight.web: {above: 0.5}}}",
        "frozen_layers.when.weight.web: not another parameter",
    ),
]


@pytest.mark.parametrize("lines, message", WRONG)
def test_mistakes_name_file_and_key(tmp_path, lines, message):
    with pytest.raises(ConfigError, match=message):
        space_of(tmp_path, lines)


def test_a_fixed_weight_keeps_its_share(tmp_path):
    space = space_of(tmp_path, SHARES.replace("{type: share}", "0.25", 1))
    assert space.parameters["weight.news"].text() == "0 to 0.75, a share of the mono sources"
    sizes = {"parallel_size": 60, "mono_ratio": 1.0}
    found = space.recipe({**sizes, "weight.news": 0.6, "weight.books": 0.15})
    assert found.weights == {"web": 0.25, "news": 0.6, "books": 0.15}
    # amounts that sum to something else are divided in proportion
    found = space.recipe({**sizes, "weight.news": 0.2, "weight.books": 0.1})
    assert found.weights == pytest.approx({"web": 0.25, "news": 0.5, "books": 0.25})


@pytest.mark.parametrize("kind, size", [("mono", "mono_ratio"), ("parallel", "parallel_size")])
def test_a_kind_cannot_be_left_out_by_weights(tmp_path, kind, size):
    lines = "".join(f"weight.{s.name}: 0\n" for s in SOURCES if s.kind == kind)
    with pytest.raises(ConfigError, match=f"every source of kind {kind} has weight 0; .* {size}"):
        space_of(tmp_path, lines)


def test_fixed_weights_alone_replace_the_studys(tmp_path):
    space = space_of(tmp_path, "weight.web: 0\n", defaults={"weight.news": 4})
    found = space.recipe({"parallel_size": 60, "mono_ratio": 1.0})
    assert found.weights == {"web": 0, "news": 4}
    assert counts(found) == {"pairs": 60, "web": 0, "news": 40, "books": 20}


def test_the_data_command_mixes_at_given_weights():
    study = make_study(sources=SOURCES, defaults={"weight.news": 0.25})
    found = recipe_of(["mono_ratio=1", "weight.web=0.75", "epochs=1.5"], study)
    assert found.weights == {"news": 0.25, "web": 0.75} and found.epochs == 1.5
    for pair, message in (
        (
            "weight.wbe=1",
            "--recipe: weight.wbe: the study has no such source; allowed: weight.pairs",
        ),
        (
            "wieght.web=1",
            r"KEY=VALUE with a key of .*, weight.SOURCE, direction.xx-yy; found wieght.web=1",
        ),
        ("weight.web=-1", r"--recipe weight.web=-1: `weight.web`;   Input should be greater"),
    ):
        with pytest.raises(ConfigError, match=message):
            recipe_of([pair], study)
