"""A token store for which there is no room: nothing is left of it, the message says how much it
needs, and the same command builds it once there is room."""

import errno
import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from mtray import full_disk
from mtray.data.filter_counts import FilterCounts
from mtray.data.shards import ShardWork
from mtray.data.store_builder import StoreBuilder, Tally
from mtray.data.store_room import NoRoom, writing
from mtray.data.token_chunks import hashed
from mtray.data.token_files import TOKENS, get_store
from mtray.errors import DataError

NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(autouse=True)
def small_disk(monkeypatch):
    """5 MB are free."""
    found = SimpleNamespace(f_files=9, f_favail=9, f_bavail=5_000, f_frsize=1000)
    monkeypatch.setattr(full_disk.os, "statvfs", lambda path: found)


def write_rows_of_tokens(rows, writer):
    lengths = np.ones(rows, np.int64)
    writer.add(hashed(np.arange(rows, dtype=np.int32), lengths, np.zeros(rows, np.int32)))


class Full:
    """A record batch writer whose disk is full at the batch or at the end."""

    def __init__(self, batches, found):
        self._left, self._found = batches, found

    def write_batch(self, batch):
        if not self._left:
            raise NO_SPACE
        self._left -= 1
        self._found.write_batch(batch)

    def close(self):
        if not self._left:
            raise NO_SPACE
        self._found.close()


def full_after(monkeypatch, batches):
    new_file = pa.ipc.new_file
    monkeypatch.setattr(pa.ipc, "new_file", lambda *given: Full(batches, new_file(*given)))


def _fails(name):
    def patch(monkeypatch):
        def full(*_, **__):
            raise NO_SPACE

        monkeypatch.setattr(name, full)

    return patch


# where a build finds the disk full
MOMENTS = {
    "first batch": lambda monkeypatch: full_after(monkeypatch, 0),
    "second batch": lambda monkeypatch: full_after(monkeypatch, 1),
    "last batch": lambda monkeypatch: full_after(monkeypatch, 2),
    "end": lambda monkeypatch: full_after(monkeypatch, 3),
    "to disk": _fails("mtray.data.token_files.sync"),
    "manifest": _fails("pathlib.Path.write_text"),
    "folder": _fails("pathlib.Path.mkdir"),
}
WHOLE = {"last batch", "end", "to disk", "manifest"}  # all rows are known, of 24 bytes each


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_store_without_room_leaves_nothing_and_is_built_when_there_is(
    moment, tmp_path, monkeypatch
):
    monkeypatch.setattr("mtray.data.token_files.ROWS", 40)

    def build(writer):
        for rows in (40, 40, 7):
            write_rows_of_tokens(rows, writer)
        return {}

    with monkeypatch.context() as patch, pytest.raises(NoRoom) as caught:
        MOMENTS[moment](patch)
        get_store({"a": 1}, build, tmp_path)
    needs = "about 2 kB" if moment in WHOLE else "more"
    start = f"{tmp_path}: no space left there (5.0 MB free, and the store needs {needs}); free some"
    assert str(caught.value).startswith(start) and "MTRAY_STORE" in str(caught.value)
    assert {p.suffix for p in tmp_path.iterdir()} <= {".lock", ".used"}
    assert not any(os.readlink(f).endswith(" (deleted)") and TOKENS in os.readlink(f)
                   for f in Path("/proc/self/fd").iterdir() if f.is_symlink())  # fmt: skip
    again = get_store({"a": 1}, build, tmp_path)
    other = get_store({"a": 1}, build, tmp_path / "other")
    assert again.built and again.tokens.read_bytes() == other.tokens.read_bytes()


class Made:
    """A maker of one token for each row."""

    def made(self, rows):
        count = len(list(rows))
        lengths = np.ones(count, np.int64)
        return hashed(np.arange(count, dtype=np.int32), lengths, np.zeros(count, np.int32)), {}


@pytest.mark.parametrize("seconds, needs", [(9.0, "about 2.2 MB"), (-1.0, "more than 1.6 MB")])
def test_how_much_a_store_needs_follows_from_its_rows(seconds, needs, tmp_path, monkeypatch):
    """A row of one token takes 24 bytes. The rows of the first shard are written."""
    monkeypatch.setattr("mtray.data.store_builder.COUNTING", seconds)
    full_after(monkeypatch, 1)
    given = ({"text": "a"} for _ in range(90_000))
    builder = StoreBuilder("pairs", print)

    def build(writer):
        work = ShardWork(None, Made())
        return builder.write(work, given, {}, writer, FilterCounts(), Counter())

    with pytest.raises(NoRoom) as caught:
        get_store({"a": 1}, build, tmp_path)
    assert f"(5.4 MB free, and the store of pairs needs {needs}); " in str(caught.value)


def test_rows_are_counted_up_to_an_error():
    def rows():
        yield from range(5)
        raise DataError("line 6")

    tally = Tally(rows())
    assert next(iter(tally)) == 0 and tally.count_rest(9.0) and tally.count == 5


def test_an_error_of_a_source_is_not_one_of_the_store(tmp_path):
    def build(writer):
        raise OSError(errno.EIO, "Input/output error", "corpus.txt")

    with pytest.raises(OSError) as caught:
        get_store({"a": 1}, build, tmp_path)
    assert caught.value.filename == "corpus.txt"
    with pytest.raises(DataError, match="cannot be written") as caught, writing(tmp_path):
        raise OSError(errno.EIO, "Input/output error")
    assert not isinstance(caught.value, NoRoom)
