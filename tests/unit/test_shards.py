"""A store does not depend on the shards that it was built from, nor on who built them when."""

import pickle
import time
from collections import Counter
from types import SimpleNamespace

import pytest
from shard_factory import (
    CASES,
    COMBINED,
    COMPARED,
    LEAKED,
    Backwards,
    BackwardsHelpers,
    build_case,
    case_study,
    contents,
    write_files,
)
from tiny_models import byte_level

from mtray.data import shards, store_builder, token_files
from mtray.data.pipeline import Pipeline
from mtray.data.shards import Shard, ShardWork, built_shards, cut
from mtray.data.store import build_store
from mtray.data.store_builder import builders_text
from mtray.data.token_chunks import TokenChunk
from mtray.data.token_files import find_store, key_of, store_dir
from mtray.errors import DataError


@pytest.fixture(scope="module")
def tokenizer():
    return byte_level()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("files")
    write_files(found)
    return found


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    """Shards and record batches of a few rows, all built by helpers if there are some."""
    monkeypatch.setattr(shards, "ROWS", 16)
    monkeypatch.setattr(shards, "ALONE", 0.0)
    monkeypatch.setattr(token_files, "ROWS", 32)


SIZES = {"one": 1000, "large": 50, "small": 5}
RUNNERS = {"here": lambda: None, "backwards": BackwardsHelpers, "few": lambda: BackwardsHelpers(2)}


@pytest.mark.parametrize("case", CASES)
def test_a_store_does_not_depend_on_its_shards(case, folder, tokenizer, monkeypatch, tmp_path):
    """Bytes, counts, and what is said of the rows."""
    study, source, variant = case_study(folder, case)
    found = {}
    for size, rows in SIZES.items():
        for runner, helpers in RUNNERS.items():
            monkeypatch.setenv("MTRAY_STORE", str(tmp_path / f"{size}-{runner}"))
            monkeypatch.setattr(shards, "ROWS", rows)
            pipeline = Pipeline(study, tokenizer, helpers=helpers())
            store = build_case(pipeline, source, variant)
            found[size, runner] = contents(store)
            by_others = store.manifest["builders"]["by_tasks"]
            assert by_others == (0 if runner == "here" else store.manifest["builders"]["shards"])
            serial = store.manifest["builders"].get("serial", "")
            assert bool(serial) == (case in COMPARED | COMBINED)
            assert ("renders" in serial) == (case in COMBINED)
    first = found["one", "here"]
    assert first[1]["rows"] > (30 if case == "documents" else 100)
    assert {key for key, value in found.items() if value != first} == set()
    if source.kind == "parallel" and case != "allowed" and first[1]["filters"]:
        assert first[1]["filters"]["leakage"] == len(LEAKED)
    assert case != "allowed" or first[1]["allowed"]["leakage"] > 1


def test_what_one_process_does_is_said(folder, tokenizer, monkeypatch, tmp_path):
    """While it is built, when it is there, and in its manifest."""
    monkeypatch.setenv("MTRAY_STORE", str(tmp_path))
    monkeypatch.setattr(store_builder, "SAID_EVERY", 0.0)
    study, source, _ = case_study(folder, "duplicates")
    said, helpers = [], BackwardsHelpers()
    build_store(study, tokenizer, say=said.append, helpers=helpers)
    assert helpers.asked == ["pairs"]
    assert said[0] == "  reads and filters in this process (duplicates compares rows)"
    assert said[1].startswith("store of pairs: 16 rows so far, ")
    assert said[1].endswith(" rows/s, 1 of 1 shards by tasks in 1 process on 1 machine")
    tasks = ", 12 of 12 shards by tasks in 6 processes on 2 machines ("
    (last,) = [line for line in said if "tokenised" in line]
    assert tasks in last
    manifest = Pipeline(study, tokenizer).found(source).manifest
    assert manifest["builders"] == {
        "shards": 12, "by_tasks": 12, "processes": 6, "machines": 2,
        "serial": "reads and filters in this process (duplicates compares rows)",
    }  # fmt: skip
    assert builders_text({}) == builders_text({"by_tasks": 0}) == ""


def test_helpers_are_not_asked_where_it_is_done_soon(folder, tokenizer, monkeypatch, tmp_path):
    monkeypatch.setenv("MTRAY_STORE", str(tmp_path))
    monkeypatch.setattr(shards, "ALONE", 1000.0)
    study, source, _ = case_study(folder, "pairs")
    helpers = BackwardsHelpers()
    Pipeline(study, tokenizer, helpers=helpers).store(source)
    assert helpers.asked == []


def test_helpers_go_on_where_this_process_stopped(monkeypatch):
    times = iter([0.0, 10.0, 19.0, 20.0])
    monkeypatch.setattr(shards, "ALONE", 20.0)
    monkeypatch.setattr(shards, "time", SimpleNamespace(monotonic=lambda: next(times)))
    work = ShardWork(None, Failing())
    built = list(built_shards(work, numbered(100), lambda: Backwards(work)))
    assert [shard.rows for shard in built] == [16] * 6 + [4]
    assert [shard.builder == shards.HERE for shard in built] == [True] * 2 + [False] * 5


@pytest.mark.parametrize("window", [1, 3, 1000])
@pytest.mark.parametrize("case", ["pairs", "duplicates", "documents"])
def test_a_refused_source_has_the_same_message(
    case, window, folder, tokenizer, monkeypatch, tmp_path
):
    """With the numbers of rows and examples as of one pass, also where rows after the first leak
    could not be rendered."""
    monkeypatch.setenv("MTRAY_STORE", str(tmp_path))
    study, source, _ = case_study(folder, case)
    filters = study.filters.model_copy(update={"leakage": "error"})
    study = study.model_copy(update={"filters": filters})
    with pytest.raises(DataError) as alone:
        list(Pipeline(study, tokenizer).examples(source, {}))
    assert f"row {LEAKED[0] + 1}, " in str(alone.value) and "of 200 rows" in str(alone.value)
    with pytest.raises(DataError) as caught:
        Pipeline(study, tokenizer, helpers=BackwardsHelpers(window)).store(source)
    assert str(caught.value) == str(alone.value)
    assert find_store(store_dir() / key_of(Pipeline(study, tokenizer).inputs(source))) is None


class Failing:
    """Makes no tokens, and fails at some rows."""

    def __init__(self, *rows, error=DataError):
        self.rows, self.error = rows, error

    def made(self, rows):
        for row in rows:
            if int(row["text"]) in self.rows:
                raise self.error(f"row {row['text']}")
        return TokenChunk(*[[]] * 4), Counter()


def numbered(count, broken=None):
    for number in range(count):
        if number == broken:
            raise DataError(f"line {number} is broken")
        yield {"text": str(number)}


FAILURES = {
    "first of two": ((25, 60), None, "row 25"),
    "in the first shard": ((3, 99), None, "row 3"),
    "before a broken line": ((25,), 60, "row 25"),
    "after a broken line": ((70,), 60, "line 60 is broken"),
    "broken alone": ((), 17, "line 17 is broken"),
}


@pytest.mark.parametrize("case", FAILURES)
@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("window", [None, 1, 4, 1000])
def test_the_error_is_that_of_the_first_row(case, size, window, monkeypatch):
    monkeypatch.setattr(shards, "ROWS", size)
    failing, broken, expected = FAILURES[case]
    work = ShardWork(None, Failing(*failing))
    with pytest.raises(DataError, match=f"^{expected}$"):
        list(built_shards(work, numbered(100, broken), lambda: window and Backwards(work, window)))


@pytest.mark.parametrize("error", [DataError, ValueError])
def test_rows_after_a_leak_cannot_fail(error, folder, tokenizer):
    """Shards of them that were begun before the leak was found, whatever they raise."""
    study, source, _ = case_study(folder, "pairs")
    work = ShardWork(Pipeline(study, tokenizer).filter_of(source), Failing(20, error=error))
    rows = [{"text": str(n), "source": "bad dad", "target": "a"} for n in range(40)]
    built = []  # refused once the first shard is there: all are begun by then
    for shard in built_shards(work, rows, lambda: Backwards(work), refused=lambda: bool(built)):
        built.append(shard)
    assert sum(shard.filtered.rows for shard in built) == 40
    with pytest.raises(error, match=r"^row 20$"):
        list(built_shards(work, rows, lambda: Backwards(work)))


@pytest.mark.parametrize("error", [DataError, KeyboardInterrupt])
def test_no_shard_is_begun_after_the_end(error, monkeypatch):
    """With slow tokenizers each of them would take minutes."""
    monkeypatch.setattr(shards, "ROWS", 1)
    monkeypatch.setattr(shards, "THREADS", 1)
    begun = []

    class Slow:
        def made(self, rows):
            (row,) = rows
            begun.append(row["text"])
            if row["text"] == "0":
                raise error("row 0")
            time.sleep(0.3)
            return TokenChunk(*[[]] * 4), Counter()

    with pytest.raises(error, match="row 0"):
        list(built_shards(ShardWork(None, Slow()), numbered(9)))
    assert begun in (["0"], ["0", "1"])


def test_an_interrupted_store_is_not_there(folder, tokenizer, monkeypatch, tmp_path):
    monkeypatch.setenv("MTRAY_STORE", str(tmp_path))
    study, source, _ = case_study(folder, "pairs")

    class Interrupted(Backwards):
        def _result(self, wanted):
            if wanted > 100:
                raise KeyboardInterrupt
            return super()._result(wanted)

    class Helpers:
        def runner(self, store, work, inputs):
            return Interrupted(work)

    with pytest.raises(KeyboardInterrupt):
        Pipeline(study, tokenizer, helpers=Helpers()).store(source)
    key = key_of(Pipeline(study, tokenizer).inputs(source))
    assert {path.name for path in tmp_path.iterdir()} == {f"{key}.lock", f"{key}.used"}
    assert Pipeline(study, tokenizer).store(source).built


def test_shards_are_short_where_rows_are_long(monkeypatch):
    monkeypatch.setattr(shards, "SHARD_CHARACTERS", 10)
    rows = [{"text": "x" * n, "other": None} for n in (1, 4, 5, 12, 1)]
    assert [(s.before, len(s.rows)) for s in cut(rows)] == [(0, 3), (3, 1), (4, 1)]
    assert list(cut([])) == []
    assert [s.before for s in cut([("a", "b" * 9), ("", "c")])] == [0, 1]


def test_a_shard_that_is_only_counted(folder, tokenizer):
    study, source, _ = case_study(folder, "pairs")
    row_filter = Pipeline(study, tokenizer).filter_of(source)
    rows = [{"source": "bad dad", "target": "a"}, {"source": " ", "target": "b"}]
    built = ShardWork(row_filter, Failing()).build(Shard(5, rows, True))
    assert (built.rows, built.tokens, built.filtered.counts) == (2, None, {"kept": 1, "empty": 1})
    assert row_filter.counts == {}, "a shard has counts of its own"


def test_a_work_is_sent_without_what_it_counted(folder, tokenizer):
    """So that a process which is given it again counts only its own rows."""
    study, source, _ = case_study(folder, "pairs")
    row_filter = Pipeline(study, tokenizer).filter_of(source)
    list(row_filter.kept([{"source": "bad dad", "target": "a"}]))
    part = pickle.loads(pickle.dumps(row_filter)).part(7)
    list(part.passing([{"source": "bad dad", "target": ""}]))
    assert part.counts == {"kept": 0, "empty": 1}
