"""A recipe's share of few-shot pairs: two tables of one source, and which rows of each."""

import json

import numpy as np
import pytest
from records_factory import make_study
from tiny_models import byte_level

from mtray.data.few_shot import FewShotTable, check_share
from mtray.data.mixing import Draw, plan
from mtray.data.recipe_tables import rendered_tables
from mtray.data.store import build_store, build_table, select, sums_by_recipe, sums_of
from mtray.data.variants import FEW_SHOT
from mtray.errors import ConfigError
from mtray.schema import Mixing, Recipe, Source, Training
from mtray.search.strategy.baseline_recipes import baseline_recipes
from mtray.search_space.parameters import FloatRange
from mtray.search_space.space import Space

SHOWN = Recipe(parallel_size=1, few_shot_share=1)
WORDS = ["a", "bad", "cab", "abba", "dad", "fed", "bee", "beef"]


def pairs_source(path, **keys):
    return Source(
        name="pairs", kind="parallel", path=str(path), languages=("en", "uk"), shots=(1, 2), **keys
    )


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("MTRAY_STORE", str(tmp_path / "store"))
    path = tmp_path / "p.jsonl"
    rows = [{"en": " ".join([a, b, c]), "uk": " ".join([c, c, b, a])}
            for a in WORDS for b in WORDS for c in WORDS[:4]]  # fmt: skip
    rows += [{"en": "a bad cab " * 40, "uk": "dad"}] * 3  # too long, with shots and without
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    mono = Source(
        name="mono", kind="mono", path=str(path), languages=("en",), columns={"text": "en"}
    )
    return make_study(sources=(pairs_source(path), mono), training=Training(max_length=80))


@pytest.fixture
def store(study):
    return build_store(study, byte_level(), recipes=[SHOWN])


def texts(examples):
    tokenizer = byte_level()
    return [tokenizer.decode(ids[1:-1]) for ids, _ in examples]


def test_both_tables_have_the_same_rows_in_one_order(store, study):
    assert list(store) == ["pairs", "mono", "pairs" + FEW_SHOT]
    alone, shown = store["pairs"], store["pairs" + FEW_SHOT]
    assert len(alone) == len(shown) == 256 and alone.dropped == shown.dropped == 3
    tokenizer = byte_level()
    for row in range(len(alone)):
        (ids, start), (longer, later) = alone.example(row), shown.example(row)
        assert tokenizer.decode(longer).endswith(tokenizer.decode(ids[1:]))
        assert longer[later:].tolist() == ids[start:].tolist(), "the loss is on the same target"
        assert len(ids) <= len(longer) <= 80
    assert (shown.lengths() > alone.lengths()).mean() > 0.9
    assert list(build_store(study, byte_level())) == ["pairs", "mono"]


OWN = Draw(1, 0)


def drawn(store, study, share, size=200, which=OWN, mono=0.0):
    recipe = Recipe(parallel_size=size, few_shot_share=share, mono_ratio=mono)
    tables = rendered_tables(recipe, store, study)
    parts = plan(recipe, study.sources, sums_of(study, tables, which))
    return select(tables, parts, False, which)


def test_a_share_of_zero_is_as_if_there_were_no_shots(store, study):
    examples, mix = drawn(store, study, 0.0)
    plain, same = drawn(build_store(study, byte_level()), study, 0.0)
    assert texts(examples) == texts(plain) and mix == same
    assert [share.few_shot for share in mix.shares] == [0, 0]


def test_shares_and_sizes_nest(store, study):
    every = {}
    for share in (0.0, 0.25, 0.5, 1.0):
        found, mix = drawn(store, study, share, mono=0.2)
        every[share] = texts(found)
        assert (mix.shares[0].realised, mix.shares[1].realised) == (200, 40)
        assert mix.shares[1].few_shot == 0
        few, zero = mix.shares[0].few_shot, mix.shares[0].tokens
        assert zero == sum(len(ids) for ids, _ in list(found)[:200])
        assert abs(few - 200 * share) <= 4 * (200 * share * (1 - share)) ** 0.5
        smaller, _ = drawn(store, study, share, size=50)
        assert texts(smaller)[:50] == every[share][:50]
    rows = {
        share: {i for i in range(200) if found[i] != every[0.0][i]}
        for share, found in every.items()
    }
    assert rows[0.25] < rows[0.5] < rows[1.0]
    assert all(found[200:] == every[0.0][200:] for found in every.values()), "text is as it was"


def test_a_replicate_draws_other_rows_each_as_it_is(store, study):
    own = dict.fromkeys(texts(drawn(store, study, 0.5, size=256)[0]))
    other, _ = drawn(store, study, 0.5, which=Draw(1, 1))
    assert set(texts(other)) <= set(own)
    assert texts(other) != list(own)[:200]


def test_ratios_of_tokens_count_the_shots(store, study):
    by_tokens = study.model_copy(update={"mixing": Mixing(count="tokens")})
    for share in (0.0, 1.0):
        _, mix = drawn(store, by_tokens, share, size=40, mono=0.5)
        pairs, mono = mix.shares
        assert abs(mono.tokens - 0.5 * pairs.tokens) < 10
    assert mix.shares[0].few_shot == 40


def test_a_blend_takes_each_row_from_one_table():
    tokenizer = byte_level()
    alone = build_table([("", "a"), ("", "b")] * 50, tokenizer, 20)
    shown = build_table([("", "a bad"), ("", "b cab dad")] * 50, tokenizer, 20)
    blend = FewShotTable("x", alone, shown, 0.3)
    taken = blend.few_shot
    assert len(blend) == 100 and 10 < taken.sum() < 50
    for row in range(100):
        table = shown if taken[row] else alone
        np.testing.assert_array_equal(blend.example(row)[0], table.example(row)[0])
        assert blend.lengths()[row] == table.lengths()[row]
    assert not (FewShotTable("y", alone, shown, 0.3).few_shot == taken).all(), "by source"
    assert FewShotTable("x", alone, shown, 1.0).few_shot.all()


def test_a_share_that_no_source_can_give(store, study, tmp_path):
    with_context = pairs_source(tmp_path / "p.jsonl", context=2)
    with pytest.raises(ConfigError, match="every parallel source of the study has `context`"):
        check_share(0.1, [with_context, study.sources[1]])
    check_share(0.0, [with_context])
    check_share(0.1, [with_context, study.sources[0]])
    only = {name: table for name, table in store.items() if name != "pairs" + FEW_SHOT}
    with pytest.raises(ConfigError, match="no source was tokenised with shots"):
        rendered_tables(Recipe(parallel_size=1, few_shot_share=0.1), only, study)


def test_baselines_of_a_study_that_counts_tokens_fit_with_the_shots_they_show(study, store):
    """Pairs after shots are longer, so they ask for more monolingual tokens."""
    study = study.model_copy(update={"mixing": Mixing(count="tokens")})
    space = Space(
        parameters={"learning_rate": FloatRange(type="float", low=1e-4, high=1e-3)},
        fixed={"parallel_size": 256, "few_shot_share": 1.0},
    )
    held = {name: len(table) for name, table in store.items()}
    sums = sums_by_recipe(study, store)
    for params in baseline_recipes(space, study, held, sums).values():
        recipe = space.recipe(params)
        assert sums(recipe)["pairs"][-1] == store["pairs" + FEW_SHOT].lengths().sum()
        tables = rendered_tables(recipe, store, study)
        select(tables, plan(recipe, study.sources, sums_of(study, tables)), False)
    alone = Recipe(parallel_size=1)
    assert sums(alone)["pairs"][-1] == store["pairs"].lengths().sum()
    assert sums_by_recipe(make_study(sources=study.sources), store)(alone) is None
