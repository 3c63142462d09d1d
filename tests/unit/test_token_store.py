"""Stores: made once, whole or absent, the same for everybody."""

import json
import os
import pickle
import shutil
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from fresh_process import modules_after
from records_factory import make_study
from store_worker import mix_of
from tiny_models import byte_level

from mtray.data.mixing import plan
from mtray.data.pipeline import Pipeline, content_hash, tokenizer_hash
from mtray.data.store import build_store, select
from mtray.data.store_use import MANIFEST
from mtray.data.tables import StoredTable
from mtray.data.token_files import (
    ROWS,
    TOKENS,
    TokenFile,
    find_store,
    get_store,
    key_of,
    store_dir,
)
from mtray.errors import DataError
from mtray.schema import Filters, Mix, Mixing, Recipe, Source

INPUTS = {"text": "made-up"}


def write_rows(*lengths):
    """What builds a store of rows 0, 1, 2, ... with so many tokens each."""

    def build(writer):
        ids = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
        from_ = np.minimum(1, lengths).astype(np.int32)
        writer.add(ids, np.array(lengths), from_)
        return {"told": []}

    return build


def never(writer):
    raise AssertionError("built again")


def test_rows_come_back(tmp_path):
    store = get_store(INPUTS, write_rows(3, 0, 2), tmp_path)
    assert store.built and store.folder == tmp_path / key_of(INPUTS)
    assert {k: store.manifest[k] for k in ("rows", "examples", "tokens")} == {
        "rows": 3, "examples": 2, "tokens": 5,
    }  # fmt: skip
    file = TokenFile(store.tokens)
    assert [(file.row(i)[0].tolist(), file.row(i)[1]) for i in range(3)] == [
        ([0, 0, 0], 1), ([], 0), ([2, 2], 1),
    ]  # fmt: skip
    assert file.lengths().tolist() == [3, 0, 2]
    again = get_store(INPUTS, never, tmp_path)
    assert not again.built and again.manifest == store.manifest


def test_rows_of_several_batches(tmp_path):
    def build(writer):
        for first in range(0, 2 * ROWS + 5, ROWS):
            ids = np.arange(first, min(first + ROWS, 2 * ROWS + 5), dtype=np.int32)
            writer.add(ids, np.ones(len(ids), np.int64), np.zeros(len(ids), np.int32))
        with pytest.raises(ValueError, match="must be the last"):
            writer.add(ids, np.ones(len(ids), np.int64), np.zeros(len(ids), np.int32))
        return {}

    file = TokenFile(get_store(INPUTS, build, tmp_path).tokens)
    for row in (0, ROWS - 1, ROWS, 2 * ROWS - 1, 2 * ROWS, 2 * ROWS + 4):
        assert file.row(row)[0].tolist() == [row]


@pytest.mark.parametrize("harm", ["cut", "changed", "manifest", "no manifest", "no tokens"])
def test_a_damaged_store_is_made_again(tmp_path, harm):
    store = get_store(INPUTS, write_rows(3, 2), tmp_path)
    whole = store.tokens.read_bytes()
    mapped = TokenFile(store.tokens)
    for name in (TOKENS, MANIFEST):  # as others see it, the old files live on
        copy = store.folder / f"{name}.copy"
        copy.write_bytes((store.folder / name).read_bytes())
        os.replace(copy, store.folder / name)
    if harm == "cut":
        store.tokens.write_bytes(whole[:-9])
    elif harm == "changed":
        at = whole.index(np.array([0, 0, 0, 1, 1], np.int32).tobytes())
        store.tokens.write_bytes(whole[:at] + b"\x07" + whole[at + 1 :])
    elif harm == "manifest":
        (store.folder / MANIFEST).write_text("{")
    else:
        (store.folder / (MANIFEST if harm == "no manifest" else TOKENS)).unlink()
    assert find_store(store.folder) is None
    again = get_store(INPUTS, write_rows(3, 2), tmp_path)
    assert again.built and again.tokens.read_bytes() == whole
    assert mapped.row(0)[0].tolist() == [0, 0, 0]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        store.key, f"{store.key}.lock", f"{store.key}.used",
    ]  # fmt: skip


def test_what_was_not_finished_is_not_there(tmp_path):
    def breaks(writer):
        write_rows(3)(writer)
        raise DataError("line 7: broken")

    with pytest.raises(DataError, match="line 7"):
        get_store(INPUTS, breaks, tmp_path)
    key = key_of(INPUTS)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{key}.lock", f"{key}.used"]
    # a builder that was killed leaves its folder, which the next one takes away
    import socket

    left = tmp_path / f".{key_of(INPUTS)}.{socket.gethostname()}.999999999"
    left.mkdir()
    (left / TOKENS).write_bytes(b"ARROW1")
    assert get_store(INPUTS, write_rows(3), tmp_path).built
    assert not left.exists()


def test_of_two_builders_one_builds(tmp_path):
    built = []

    def slowly(writer):
        built.append(threading.get_ident())
        time.sleep(0.2)
        return write_rows(1, 2)(writer)

    found = []
    threads = [
        threading.Thread(target=lambda: found.append(get_store(INPUTS, slowly, tmp_path)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1 and [s.built for s in found].count(True) == 1
    assert len({s.manifest["sha256"] for s in found}) == 1


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="MTRAY_STORE"):
        get_store(INPUTS, never, tmp_path / "file" / "store")


@pytest.fixture(scope="module")
def tokenizer():
    return byte_level()


def a_source(folder, **keys):
    lines = [{"en": "abcdef"[: 1 + i % 6] * (1 + i // 6), "uk": "fed" * (1 + i % 3)}
             for i in range(40)]  # fmt: skip
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    fields = {"name": "pairs", "kind": "parallel", "path": str(path), "languages": ("en", "uk")}
    return Source(**(fields | keys))


def test_the_key_is_of_what_the_tokens_hang_on(tmp_path, tokenizer):
    source = a_source(tmp_path)

    def key(source=source, tokenizer=tokenizer, **changes):
        return key_of(Pipeline(make_study(**changes), tokenizer).inputs(source))

    first = key()
    turned = source.model_copy(update={"languages": ("uk", "en")})
    none = Filters(leakage=None, shots_leakage=None)
    drawn = {"directions": {"en-uk": 1, "uk-en": 1}}
    training = make_study().training.model_copy(update={"max_length": 99})
    others = [
        key(turned), key(template="mfti"), key(training=training),
        key(filters=none.model_copy(update={"duplicates": "row"})),
        key(a_source(tmp_path, **drawn)), key(a_source(tmp_path, **drawn), seed=7),
        key(a_source(tmp_path, name="other", **drawn)),
    ]  # fmt: skip
    assert len({first, *others}) == len(others) + 1
    # nothing of these changes a row
    same = a_source(tmp_path, name="other", weight=3, max_repeats=2, licence="CC0-1.0")
    assert {key(seed=7), key(same), key(name="another")} == {first}
    Path(source.path).write_text(Path(source.path).read_text().replace("fed", "bed"))
    os.utime(source.path, ns=(1, 1))
    assert key() != first


def test_a_tokenizer_is_known_by_what_it_does(tokenizer):
    known = tokenizer_hash(tokenizer)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer(["a", "a bad cab"], padding=True, truncation=True, max_length=2)
    assert tokenizer_hash(tokenizer) == known == tokenizer_hash(byte_level())
    changed = byte_level()
    changed.chat_template = "{{ messages }}"
    more = byte_level()
    more.add_tokens(["abba"])
    assert len({known, tokenizer_hash(changed), tokenizer_hash(more)}) == 3


def test_content_is_of_files_folders_and_members_of_archives(tmp_path):
    (tmp_path / "a.tsv").write_text("a")
    (tmp_path / "b.csv").write_text("a")
    assert content_hash(tmp_path / "a.tsv") != content_hash(tmp_path / "b.csv")
    before = content_hash(tmp_path)
    (tmp_path / "c.zip").write_bytes(b"zip")
    assert content_hash(tmp_path) != before
    member = content_hash(tmp_path / "c.zip" / "x" / "train.de")
    assert member.startswith("x/train.de in .zip ")
    assert content_hash(Path("hf:a/b")) == "hf:a/b"


def test_a_mix_is_the_same_from_a_new_store_a_kept_one_and_a_copy(tmp_path, tokenizer, monkeypatch):
    study = make_study(sources=(a_source(tmp_path),))
    recipe = Recipe(parallel_size=17)

    def drawn(store):
        examples, mix = select(store, plan(recipe, study.sources), False)
        shares = [s.model_copy(update={"store": ""}) for s in mix.shares]
        return [(ids.tolist(), at) for ids, at in examples], shares

    monkeypatch.setenv("MTRAY_STORE", str(tmp_path / "one"))
    told = []
    new = build_store(study, tokenizer, say=told.append)
    assert "40 rows tokenised" in told[0]
    expected = drawn(new)
    kept = build_store(study, tokenizer, say=told.append)
    assert any("reused" in line for line in told) and not kept["pairs"].built
    monkeypatch.setenv("MTRAY_STORE", str(tmp_path / "two"))
    anew = build_store(study, tokenizer)
    assert anew["pairs"].built and anew["pairs"].folder.parent == store_dir()
    copy = {"pairs": pickle.loads(pickle.dumps(new["pairs"])).loaded()}
    assert drawn(kept) == drawn(anew) == drawn(copy) == expected
    mixes = [select(store, plan(recipe, study.sources), False)[1] for store in (new, copy)]
    assert [mix.shares[0].store for mix in mixes] == ["mapped", "sent"]


def test_a_pickled_table_is_a_few_words(tmp_path, tokenizer):
    table = build_store(make_study(sources=(a_source(tmp_path),)), tokenizer)["pairs"]
    table.example(3)
    assert len(pickle.dumps(table)) < 1000
    assert isinstance(pickle.loads(pickle.dumps(table)), StoredTable)
    assert pickle.loads(pickle.dumps(table)) == table


@pytest.mark.parametrize("count", ["examples", "tokens"])
def test_every_number_of_workers_draws_the_same(tmp_path, tokenizer, count, monkeypatch):
    """Also on a second run, and after the store was deleted."""
    pairs = a_source(tmp_path)
    mono = Source(name="mono", kind="mono", path=pairs.path, languages=("en",),
                  columns={"text": "en"})  # fmt: skip
    study = make_study(sources=(pairs, mono), mixing=Mixing(count=count))
    recipe = Recipe(parallel_size=33, mono_ratio=1.7)
    monkeypatch.setenv("MTRAY_STORE", str(tmp_path / "store"))
    found = []
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        for workers in (1, 2, 4, 4):
            given = pickle.dumps(build_store(study, tokenizer))
            found += pool.map(mix_of, *zip(*[(given, study, recipe)] * workers, strict=True))
            if workers == 2:
                shutil.rmtree(tmp_path / "store")
    assert len(found) == 11 and len(set(found)) == 1
    first, second = Mix.model_validate_json(found[0][1]).shares
    assert first.realised == 33 and second.realised > 40  # begun again


def test_a_mix_is_drawn_without_what_takes_long_to_import(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setenv("MTRAY_STORE", str(tmp_path / "store"))
    table = build_store(make_study(sources=(a_source(tmp_path),)), tokenizer)["pairs"]
    code = f"import pickle; table = pickle.loads({pickle.dumps(table)!r}); table.example(3)"
    modules = modules_after(code)
    assert "pyarrow" in modules
    assert not modules & {"pandas", "torch", "ray", "transformers", "tokenizers"}
