"""Large files that two environments have alike become one file."""

import importlib.util
import os
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "share_files.py"
spec = importlib.util.spec_from_file_location("share_files", TOOL)
assert spec is not None and spec.loader is not None
share_files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(share_files)

LARGE = b"x" * 1000


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    folders = tmp_path / "first", tmp_path / "second"
    for folder in folders:
        (folder / "lib").mkdir(parents=True)
        (folder / "lib" / "libtorch.so").write_bytes(LARGE)
    return folders


def test_equal_files_become_one(two: tuple[Path, Path]) -> None:
    first, second = two
    inode = (first / "lib/libtorch.so").stat().st_ino
    assert share_files.share(first, second, least=100) == 1000
    assert (second / "lib/libtorch.so").stat().st_ino == inode
    assert (second / "lib/libtorch.so").read_bytes() == LARGE
    assert not (second / "lib/libtorch.so").is_symlink()
    assert share_files.share(first, second, least=100) == 0, "they are one already"
    assert sorted(os.listdir(second / "lib")) == ["libtorch.so"]


def other_content(file: Path) -> None:
    file.write_bytes(b"y" * 1000)


def other_mode(file: Path) -> None:
    file.chmod(0o700)


def symbolic_link(file: Path) -> None:
    file.rename(file.with_name("real"))
    file.symlink_to("real")


def missing(file: Path) -> None:
    file.rename(file.with_name("libother.so"))


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("change", [other_content, other_mode, symbolic_link, missing])
def test_what_differs_stays(two: tuple[Path, Path], change, side: int) -> None:
    change(two[side] / "lib/libtorch.so")
    before = {f: f.lstat().st_ino for folder in two for f in folder.rglob("*")}
    assert share_files.share(*two, least=100) == 0
    assert {f: f.lstat().st_ino for folder in two for f in folder.rglob("*")} == before


def test_small_files_and_sources_stay(two: tuple[Path, Path]) -> None:
    first, second = two
    assert share_files.share(first, second, least=1001) == 0
    for folder in two:
        (folder / "lib/libtorch.so").rename(folder / "lib/large.py")
    assert share_files.share(first, second, least=100) == 0


def test_without_hard_links_files_stay(two: tuple[Path, Path], monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(share_files.os, "link", refuse)
    assert share_files.share(*two, least=100) == 0
    assert (two[1] / "lib/libtorch.so").read_bytes() == LARGE


def test_bytes_that_another_name_keeps_are_not_counted(two: tuple[Path, Path]) -> None:
    os.link(two[1] / "lib/libtorch.so", two[1] / "cached")
    assert share_files.share(*two, least=100) == 0
    assert (two[0] / "lib/libtorch.so").samefile(two[1] / "lib/libtorch.so")
