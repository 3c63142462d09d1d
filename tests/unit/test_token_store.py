"""Stores: made once, whole or absent, the same for everybody."""

import os
import pickle
import shutil
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from fresh_process import modules_after
from records_factory import make_study
from store_factory import a_source
from store_worker import mix_of
from tiny_models import byte_level

from mtray.data import pipeline
from mtray.data.mixing import plan
from mtray.data.store import build_store, select
from mtray.data.store_usage import MANIFEST
from mtray.data.tables import StoredTable, TokenTable, digest_of
from mtray.data.token_chunks import hashed
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
from mtray.schema import Mix, Mixing, Recipe, Source

INPUTS = {"text": "made-up"}


def write_rows(*lengths):
    """What builds a store of rows 0, 1, 2, ... with so many tokens each."""

    def build(writer):
        ids = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
        from_ = np.minimum(1, lengths).astype(np.int32)
        writer.add(hashed(ids, np.array(lengths), from_))
        return {"told": []}

    return build


def never(writer):
    raise AssertionError("built again")


def test_rows_come_back(tmp_path):
    store = get_store(INPUTS, write_rows(3, 0, 2), tmp_path)
    assert store.built and store.folder == tmp_path / key_of(INPUTS)
    assert {k: store.manifest[k] for k in ("rows", "examples", "tokens")} == {
        "rows": 3,
        "examples": 2,
        "tokens": 5,
    }
    file = TokenFile(store.tokens)
    assert [(file.row(i)[0].tolist(), file.row(i)[1]) for i in range(3)] == [
        ([0, 0, 0], 1),
        ([], 0),
        ([2, 2], 1),
    ]
    assert file.lengths().tolist() == [3, 0, 2]
    again = get_store(INPUTS, never, tmp_path)
    assert not again.built and again.manifest == store.manifest


SIZES = {
    "batches": (ROWS, ROWS, 5),
    "small and empty": (1, 0, ROWS - 2, 3, ROWS, 3),
    "one": (2 * ROWS + 5,),
    "large": (7, 2 * ROWS - 10, 0, 8),
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_a_file_does_not_depend_on_how_many_rows_come_at_a_time(tmp_path, sizes):
    """Rows 0, 1, 2, ..., of which every third has one token and the others two."""

    def build(sizes):
        def write(writer):
            for end in np.cumsum(sizes):
                rows = np.arange(writer.rows, end, dtype=np.int32)
                lengths = 1 + (rows % 3 > 0).astype(np.int64)
                writer.add(hashed(np.repeat(rows, lengths), lengths, rows % 2))
            return {}

        return write

    store = get_store({"sizes": sizes}, build(sizes), tmp_path)
    batches = get_store(INPUTS, build(SIZES["batches"]), tmp_path)
    for key in ("rows", "examples", "tokens", "sha256"):
        assert store.manifest[key] == batches.manifest[key]
    file = TokenFile(store.tokens)
    for row in (0, ROWS - 1, ROWS, 2 * ROWS - 1, 2 * ROWS, 2 * ROWS + 4):
        assert file.row(row)[0].tolist() == [row] * (1 + (row % 3 > 0))
        assert file.row(row)[1] == row % 2


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
        store.key,
        f"{store.key}.lock",
        f"{store.key}.used",
    ]


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


def test_a_digest_is_of_what_is_drawn_in_its_order(tmp_path, tokenizer, monkeypatch):
    """And of nothing else: not of the store, of texts that are not drawn, or of other code."""
    study = make_study(sources=(a_source(tmp_path),))
    table = build_store(study, tokenizer)["pairs"]
    rows = np.array([3, 1, 7])
    known = digest_of(table, rows)
    assert len(known) == 32 and digest_of(table, rows[:0]) == ""
    assert len({known, digest_of(table, rows[::-1]), digest_of(table, rows[:2]),
                digest_of(table, np.array([3, 1, 8]))}) == 4  # fmt: skip
    sent = pickle.loads(pickle.dumps(table)).loaded()
    texts = TokenTable(sent.ids, sent.ends, sent.loss_from, 0, len(sent))
    assert digest_of(sent, rows) == digest_of(texts, rows) == known
    later = TokenTable(sent.ids, sent.ends, sent.loss_from + 1, 0, len(sent))
    assert digest_of(later, rows) != known
    monkeypatch.setattr(pipeline, "code_hash", lambda folder: "other")
    assert digest_of(build_store(study, tokenizer)["pairs"], rows) == known


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
    mono = Source(
        name="mono", kind="mono", path=pairs.path, languages=("en",), columns={"text": "en"}
    )
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
