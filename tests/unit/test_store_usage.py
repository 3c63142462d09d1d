"""Stores that are taken away, and those that are not."""

import json
import os
import re
import subprocess
import sys
import time

import pytest

from mtray.cli import main
from mtray.data.store_usage import MANIFEST, all_stores, delete_store, hold, is_used, oldest

DAY = 86400
A, B, C = (letter * 32 for letter in "abc")


def a_store(root, key, days, size=1000, name="pairs"):
    folder = root / key
    folder.mkdir(parents=True)
    (folder / "tokens.arrow").write_bytes(bytes(size))
    if name:
        (folder / MANIFEST).write_text(json.dumps({"name": name}))
    (root / f"{key.strip('.')[:32]}.lock").touch()
    mark = root / f"{key.strip('.')[:32]}.used"
    mark.touch()
    for path in (mark, folder):
        os.utime(path, (time.time() - days * DAY,) * 2)
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MTRAY_STORE", str(tmp_path))
    for key, days in ((A, 1), (B, 50), (C, 10)):
        a_store(tmp_path, key, days)
    a_store(tmp_path, f".{A}.host.7", 0, name="")
    (tmp_path / "somebody's").mkdir()
    return tmp_path


def keys(stores):
    return [kept.folder.name for kept in stores]


def test_the_longest_unused_go_first(root):
    stores = all_stores(root)
    assert keys(stores) == [B, C, A, f".{A}.host.7"], "by use, and nothing of somebody else's"
    assert [kept.bytes for kept in stores[:2]] == [1000 + len('{"name": "pairs"}')] * 2
    left = f".{A}.host.7"
    assert keys(oldest(stores, 30, None)) == [B, left]
    assert keys(oldest(stores, 99, None)) == [left]
    assert keys(oldest(stores, 99, 2100)) == [left, B]
    assert keys(oldest(stores, 30, 500)) == [B, left, C, A]
    assert keys(oldest(stores, 0, None)) == keys(stores)


USE = """
import sys; from pathlib import Path; from mtray.data.store_usage import hold
hold(Path(sys.argv[1])); print("held", flush=True); sys.stdin.read()
"""


def test_what_is_used_stays_until_its_user_ends(root, capsys):
    by_name = {kept.folder.name: kept for kept in all_stores(root)}
    user = subprocess.Popen(
        [sys.executable, "-c", USE, str(root / B)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert user.stdout.readline() == "held\n"
        assert is_used(by_name[B]) and not is_used(by_name[C])
        assert not delete_store(by_name[B]) and (root / B / MANIFEST).is_file()
        assert main(["data", "clean", "--days", "0", "--yes"]) == 0
        out = capsys.readouterr().out
        assert re.search(rf"{B} +pairs +\S+ \S+ +0.0 +in use", out) and "; 3 deleted" in out
        assert sorted(p.name for p in root.iterdir()) == [B, f"{B}.lock", f"{B}.used", "somebody's"]
    finally:
        user.kill()
        user.communicate()
    assert time.time() - (root / f"{B}.used").stat().st_mtime < DAY, "it was used now"
    assert delete_store(by_name[B])
    assert [p.name for p in root.iterdir()] == ["somebody's"]


def test_without_yes_nothing_goes(root, capsys):
    before = sorted(root.rglob("*"))
    assert main(["data", "clean", "--max-gb", "0"]) == 0
    out = capsys.readouterr().out
    assert out.count("would be deleted") == 4 and "4 stores" in out and "4 to delete" in out
    assert "over 0 GB" in out and sorted(root.rglob("*")) == before
    assert main(["data", "clean"]) == 0
    assert capsys.readouterr().out.count("would be deleted") == 2
    assert main(["data", "clean", "--days", "-1"]) == 2


def test_a_place_that_cannot_be_written_is_no_harm(tmp_path):
    hold(tmp_path / "absent" / A)
    assert all_stores(tmp_path / "absent") == []
