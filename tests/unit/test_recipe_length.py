"""A recipe's own `max_length`: which examples it leaves out, and what that changes."""

import json

import pytest
from records_factory import make_study
from tiny_models import byte_level

from mtray.data.draw_comparison import drawn_again
from mtray.data.mixing import OWN_DRAW
from mtray.data.recipe_tables import FittingTable, held_rows, recipe_tables
from mtray.data.store import build_store, mixed, sums_by_recipe
from mtray.data.variants import FEW_SHOT
from mtray.errors import DataError
from mtray.schema import (
    Mixing,
    Recipe,
    Source,
    Training,
)
from mtray.search.strategy.largest_recipes import check_source_sizes, largest_recipes
from mtray.search_space.parameters import IntRange
from mtray.search_space.space import Space

RECIPE = Recipe(parallel_size=6, learning_rate=1e-3)


def with_own(**values):
    return RECIPE.model_copy(update=values)


ROWS = [{"en": "a" * n, "uk": "b" * (n % 7 + 1)} for n in range(1, 61)]


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("MTRAY_STORE", str(tmp_path / "store"))
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    pairs = Source(name="pairs", kind="parallel", path=str(path), languages=("en", "uk"),
                   shots=(1, 1))  # fmt: skip
    return make_study(sources=(pairs,), training=Training(max_length=80))


def shorter(study, limit):
    return study.model_copy(update={"training": Training(max_length=limit)})


def test_a_shorter_limit_is_a_study_with_that_limit(study):
    store = build_store(study, byte_level())
    limited = build_store(shorter(study, 50), byte_level())
    size = len(limited["pairs"])
    assert 0 < size < len(store["pairs"])
    recipe = with_own(parallel_size=size, max_length=50)
    examples, mix = mixed(study, store, recipe)
    same, other = mixed(shorter(study, 50), limited, with_own(parallel_size=size))
    assert [ids.tolist() for ids, _ in examples] == [ids.tolist() for ids, _ in same]
    assert max(len(ids) for ids, _ in examples) <= 50
    (found,), (known,) = mix.shares, other.shares
    assert (found.digest, found.tokens, found.repeats) == (known.digest, known.tokens, 1.0)
    assert (found.available, found.held, found.fitting) == (len(store["pairs"]),) * 2 + (size,)
    with pytest.raises(
        DataError, match=f"holds {size} examples and the recipe asks for {size + 1}"
    ):
        mixed(study, store, with_own(parallel_size=size + 1, max_length=50))


def test_a_recorded_draw_with_a_limit_is_drawn_again(study):
    store, recipe = build_store(study, byte_level()), with_own(max_length=50)
    mix = mixed(study, store, recipe)[1]
    held = {s.source: s.held for s in mix.shares}
    again = build_store(study, byte_level(), held)
    assert drawn_again(mix, study, again, recipe, OWN_DRAW) == (None, ())
    found = drawn_again(mix, study, again, with_own(max_length=30), OWN_DRAW).difference
    assert found is not None and found.source == "pairs"


def test_the_studys_own_limit_changes_nothing(study):
    store = build_store(study, byte_level())
    assert recipe_tables(with_own(max_length=80), store, study)["pairs"] is store["pairs"]
    one, other = (mixed(study, store, recipe) for recipe in (RECIPE, with_own(max_length=80)))
    assert one[1] == other[1] and one[1].shares[0].fitting is None
    assert [ids.tolist() for ids, _ in one[0]] == [ids.tolist() for ids, _ in other[0]]


def test_shots_count_to_the_length(study):
    store = build_store(study, byte_level(), recipes=[Recipe(parallel_size=1, few_shot_share=1)])
    tables = recipe_tables(with_own(few_shot_share=0.5, max_length=50), store, study)
    table = tables["pairs"]
    assert isinstance(table, FittingTable) and max(table.lengths()) <= 50
    assert len(table) < len(recipe_tables(with_own(max_length=50), store, study)["pairs"])
    _, mix = mixed(study, store, with_own(few_shot_share=0.5, max_length=50))
    rows = table.rows[:6]
    assert mix.shares[0].few_shot == table.whole.few_shot[rows].sum()
    assert pairs_only(held_rows(store, ())) == {"pairs": len(store["pairs"])}


def pairs_only(held):
    return {name: count for name, count in held.items() if not name.endswith(FEW_SHOT)}


def test_the_shortest_limit_of_a_space_decides_how_much_there_is(study):
    store = build_store(study, byte_level())
    fits = len(recipe_tables(with_own(max_length=50), store, study)["pairs"])
    space = Space(parameters={"max_length": IntRange(type="int", low=50, high=80)},
                  fixed={"parallel_size": fits, "learning_rate": 1e-3})  # fmt: skip
    assert held_rows(store, space.values("max_length")) == {"pairs": fits}
    assert [r.max_length for r in largest_recipes(space)] == [50]
    check_source_sizes(largest_recipes(space), study, store)
    more = space.model_copy(update={"fixed": {**space.fixed, "parallel_size": fits + 1}})
    with pytest.raises(DataError, match=rf"holds {fits} examples and .*parallel_size {fits + 1}, "
                       r"max_length 50\) asks for"):  # fmt: skip
        check_source_sizes(largest_recipes(more), study, store)


def test_sums_of_tokens_are_those_of_what_fits(study):
    store = build_store(study, byte_level())
    by_token = study.model_copy(update={"mixing": Mixing(count="tokens")})
    sums = sums_by_recipe(by_token, store)
    assert len(sums(RECIPE)["pairs"]) == len(store["pairs"])
    short = sums(with_own(max_length=50))["pairs"]
    assert short[-1] == sum(n for n in store["pairs"].lengths() if n <= 50)
