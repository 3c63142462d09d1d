"""Sources as token ids, and the mix as it was realised."""

import json
from dataclasses import replace

import numpy as np
import pytest
from records_factory import make_study
from tiny_models import byte_level

from mtray.data.mixing import Draw, MixPart, source_order
from mtray.data.pipeline import Pipeline
from mtray.data.store import build_store, build_table, check_files, select
from mtray.errors import ConfigError, DataError
from mtray.schema import AbilitySpec, Evaluation, QualitySet, Source, Training

PAIRS = [("a bad cab", "abba"), ("dad", "bee"), ("fed a bee", "cab")]
TEXTS = [("English: a\nSpanish:", "abc"), ("", "bad dad"), ("a ->", "b")]


@pytest.fixture(scope="module")
def tokenizer():
    return byte_level()


@pytest.fixture
def sources(tmp_path):
    rows = [{"en": a, "uk": b, "text": a, "q": b} for a, b in PAIRS]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return (
        Source(name="pairs", kind="parallel", path=str(path), languages=("en", "uk")),
        Source(name="mono", kind="mono", path=str(path), languages=("en",)),
        Source(name="old", kind="replay", path=str(path), columns={"prompt": "q", "target": "en"}),
    )


def texts_of(source, tokenizer, **keys):
    return list(Pipeline(make_study(**keys), tokenizer).examples(source, {}))


def test_texts_of_every_kind(sources, tokenizer):
    pairs, mono, replay = (texts_of(s, tokenizer) for s in sources)
    assert pairs[0] == ("English: a bad cab\nUkrainian:", "abba")
    assert mono == [("", a) for a, _ in PAIRS]
    assert replay == [(b, a) for a, b in PAIRS]
    turned = sources[0].model_copy(update={"languages": ("uk", "en")})
    assert texts_of(turned, tokenizer)[0] == ("Ukrainian: abba\nEnglish:", "a bad cab")
    asked = texts_of(sources[0], tokenizer, template="mfti")
    assert asked[1][0] == "Translation: [English]: dad [Ukrainian]:"


def test_columns_can_have_other_names(sources, tokenizer):
    pairs, mono, _ = sources
    renamed = pairs.model_copy(update={"columns": {"en": "q", "uk": "text"}})
    assert texts_of(renamed, tokenizer)[0] == ("English: abba\nUkrainian:", "a bad cab")
    other = mono.model_copy(update={"columns": {"text": "uk"}})
    assert texts_of(other, tokenizer)[1] == ("", "bee")
    with pytest.raises(DataError, match="'nope'"):
        texts_of(mono.model_copy(update={"columns": {"text": "nope"}}), tokenizer)
    with pytest.raises(ConfigError, match="template"):
        texts_of(pairs, tokenizer, template="lables")


def test_a_table_holds_every_example_whole(tokenizer):
    table = build_table(TEXTS, tokenizer, 64)
    assert len(table) == 3 and table.dropped == 0
    assert table.lengths().sum() == len(table.ids) == table.ends[-1]
    for row, (prompt, target) in enumerate(TEXTS):
        ids, loss_from = table.example(row)
        assert len(ids) == table.lengths()[row]
        assert ids[0] == tokenizer.bos_token_id and ids[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(ids[1:-1]) == (f"{prompt} {target}" if prompt else target)
        # loss begins with the target; in text without a prompt, with the first token after <s>
        assert tokenizer.decode(ids[loss_from:-1]) == (f" {target}" if prompt else target)
        assert loss_from == 1 or prompt
    assert (table.ids.dtype, table.ends.dtype, table.loss_from.dtype) == (
        np.int32,
        np.int64,
        np.int32,
    )


def test_long_examples_are_left_out_and_counted(tokenizer):
    lengths = build_table(TEXTS, tokenizer, 64).lengths()
    longest = int(lengths.max())
    assert (lengths == longest).sum() == 1
    assert build_table(TEXTS, tokenizer, longest).dropped == 0
    shorter = build_table(TEXTS, tokenizer, longest - 1)
    assert (len(shorter), shorter.dropped) == (2, 1)
    assert len(build_table(TEXTS, tokenizer, 2)) == 0
    _, mix = select({"pairs": shorter}, [MixPart("pairs", "parallel", 2.0, 2)], False)
    assert mix.shares[0].dropped == 1, "the record says so"


def rows_of(table):
    return [(table.example(i)[0].tolist(), table.example(i)[1]) for i in range(len(table))]


def test_the_store_has_every_source(sources, tokenizer):
    study = make_study(sources=sources, training=Training(max_length=40))
    store = build_store(study, tokenizer)
    assert {name: len(table) for name, table in store.items()} == {"pairs": 3, "mono": 3, "old": 3}
    for source in sources:
        order = source_order(study.seed, source.name, 3)
        texts = texts_of(source, tokenizer)
        expected = build_table([texts[i] for i in order], tokenizer, 40)
        assert rows_of(store[source.name]) == rows_of(expected)
        assert store[source.name].lengths().tolist() == expected.lengths().tolist()


def test_a_bounded_store_is_the_beginning_of_the_whole(sources, tokenizer):
    study = make_study(sources=sources, training=Training(max_length=40))
    whole = build_store(study, tokenizer)
    part = build_store(study, tokenizer, {"pairs": 2, "mono": 1})
    assert [len(table) for table in part.values()] == [2, 1, 3]
    for name, table in part.items():
        assert table.available == whole[name].available == 3
        assert rows_of(table) == rows_of(whole[name])[: len(table)]


def test_what_is_too_long_keeps_its_place_in_the_order(tmp_path, tokenizer):
    """The order depends on how many rows the source has, not on how many of them are short."""
    texts = ["a bad cab " * 9 if i % 3 else f"{'abcdef'[i % 6]}" * (1 + i // 6) for i in range(60)]
    path = tmp_path / "mono.txt"
    path.write_text("\n".join(texts))
    source = Source(name="mono", kind="mono", path=str(path), languages=("en",))
    study = make_study(training=Training(max_length=20)).model_copy(update={"sources": (source,)})
    table = build_store(study, tokenizer, {"mono": 5})["mono"]
    short = [texts[i] for i in source_order(study.seed, "mono", 60) if i % 3 == 0]
    assert [tokenizer.decode(ids[1:-1]) for ids, _ in rows_of(table)] == short[:5]
    assert (len(table), table.dropped, table.available) == (5, 40, 20)
    with pytest.raises(DataError, match=r"'mono': no example has 8 tokens or fewer; raise .*max"):
        none = path.with_name("none.txt")
        none.write_text("a bad cab " * 9)
        long = source.model_copy(update={"path": str(none)})
        shorter = {"sources": (long,), "training": Training(max_length=8)}
        build_store(study.model_copy(update=shorter), tokenizer)


def test_select_takes_prefixes_and_counts_them(tokenizer):
    store = {"a": build_table(TEXTS, tokenizer, 64), "b": build_table(TEXTS[:2], tokenizer, 64)}
    parts = [MixPart("a", "parallel", 2.4, 2), MixPart("b", "mono", 4.6, 5)]
    examples, mix = select(store, parts, allow_repeats=True)
    rows = [("a", r) for r in range(2)] + [("b", i % 2) for i in range(5)]
    for (ids, loss_from), (name, row) in zip(examples, rows, strict=True):
        expected, start = store[name].example(row)
        np.testing.assert_array_equal(ids, expected)
        assert loss_from == start
    a, b = mix.shares
    assert (a.source, a.kind, a.requested, a.realised, a.available) == ("a", "parallel", 2.4, 2, 3)
    assert (b.realised, b.available) == (5, 2)
    assert (a.repeats, b.repeats) == (pytest.approx(2 / 3), 2.5)
    assert a.tokens == sum(len(ids) for ids, _ in examples[:2])
    assert b.tokens == sum(len(ids) for ids, _ in examples[2:])
    assert (mix.examples, mix.tokens) == (7, a.tokens + b.tokens)


def test_select_of_too_many_or_none(tokenizer):
    store = {"a": build_table(TEXTS, tokenizer, 64), "b": build_table(TEXTS, tokenizer, 64)}
    parts = [MixPart("a", "parallel", 3.0, 3), MixPart("b", "mono", 0.0, 0)]
    examples, mix = select(store, parts, allow_repeats=False)
    assert len(examples) == 3
    assert (mix.shares[1].realised, mix.shares[1].tokens, mix.shares[1].repeats) == (0, 0, 0)
    with pytest.raises(DataError, match="'b' holds 3 examples and the recipe asks for 4"):
        select(store, [MixPart("b", "mono", 4.0, 4)], allow_repeats=False)


def test_a_bounded_table_tells_what_its_source_holds(tokenizer):
    table = replace(build_table(TEXTS, tokenizer, 64), available=12)
    _, mix = select({"a": table}, [MixPart("a", "mono", 3.0, 3)], allow_repeats=False)
    assert (mix.shares[0].available, mix.shares[0].repeats) == (12, 0.25)


def test_a_replicate_takes_other_examples_and_says_of_how_many(tokenizer):
    texts = [("", "abcdef"[: 1 + i % 6] * (1 + i // 6)) for i in range(30)]
    store = {"a": build_table(texts, tokenizer, 64)}
    parts = [MixPart("a", "mono", 10.0, 10)]
    (own, mix), (other, again) = (
        select(store, parts, False, which) for which in (Draw(1, 0), Draw(1, 1))
    )
    known = {table_text(e) for e in (store["a"].example(i) for i in range(30))}
    assert {table_text(e) for e in other} <= known
    assert {table_text(e) for e in other} != {table_text(e) for e in own}
    assert mix.shares[0].held == again.shares[0].held == 30
    assert (mix.shares[0].shared, again.shares[0].shared) == (
        0,
        len(known_of(own) & known_of(other)),
    )
    assert again.shares[0].tokens == sum(len(ids) for ids, _ in other)


def known_of(examples):
    return {table_text(e) for e in examples}


def table_text(example):
    return tuple(example[0].tolist())


def test_every_file_of_an_ability_is_looked_for(sources, tmp_path):
    """`path` and each `*_path`, at any depth: a file, a folder, or the stem of several files."""
    (tmp_path / "folder").mkdir()
    for name in ("stem.en", "dev.jsonl"):
        (tmp_path / name).write_text('{"en": "a", "uk": "b"}\n')
    place = {name: str(tmp_path / name) for name in ("folder", "stem", "dev.jsonl", "no", "nope")}

    def check(path, **options):
        spec = AbilitySpec(measure="formality", path=path, **options)
        dev = QualitySet(direction="en-uk", path=place["dev.jsonl"])
        evaluation = Evaluation(comet="none", quality=(dev,), abilities={"a": spec})
        check_files(make_study(sources=sources, evaluation=evaluation))

    check(place["folder"], shots_path=place["stem"], nothing_path=None)
    check({"en": place["dev.jsonl"]}, deep={"more_path": {"de": place["folder"]}})
    for wrong in (
        {"path": place["no"]},
        {"path": place["folder"], "shots_path": place["no"]},
        {"path": place["folder"], "deep": {"more_path": {"de": place["nope"]}}},
    ):
        with pytest.raises(DataError, match=r"/nop?e?: no such file"):
            check(**wrong)
