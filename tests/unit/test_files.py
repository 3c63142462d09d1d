"""Files are whole or absent."""

import os

import pytest
import torch

from mtray.files import replacing, write_atomically
from mtray.training.trainable_weights import save_trainable


def test_the_old_content_stands_until_the_new_is_whole(tmp_path):
    path = tmp_path / "folder" / "a"
    write_atomically(path, b"old")
    with replacing(path) as partial:
        partial.write_bytes(b"new")
        assert path.read_bytes() == b"old" and partial.parent == path.parent
    assert path.read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["a"]


def full(*_):
    raise OSError(28, "No space left on device")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = write_atomically(tmp_path / "a", b"old")
    with pytest.raises(KeyError), replacing(path) as partial:
        partial.write_bytes(b"half")
        raise KeyError
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"no space left there \(.* free, and more is needed\)"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_two_at_once_do_not_meet(tmp_path):
    with replacing(tmp_path / "a") as first, replacing(tmp_path / "a") as second:
        assert first != second
        first.write_bytes(b"1")
        second.write_bytes(b"2")
    assert (tmp_path / "a").read_bytes() == b"1", "the one that ended last"


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_files_follow_the_umask_whoever_writes_them(tmp_path, mask):
    before = os.umask(mask)
    try:
        plain, path, weights = (tmp_path / name for name in "abc")
        plain.write_bytes(b"x")
        write_atomically(path, b"x")
        save_trainable(torch.nn.Linear(2, 2), weights)
    finally:
        assert os.umask(before) == mask
    assert {p.stat().st_mode & 0o777 for p in (plain, path, weights)} == {0o666 & ~mask}
