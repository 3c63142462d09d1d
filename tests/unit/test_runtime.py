"""Settings of the process's allocator, and which code runs."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mtray import runtime
from mtray.runtime import code_hash, keep_freed_memory, show_gpus, trial_code, versions


class C:
    """Stands in for the C library."""

    def __init__(self, answer):
        self.answer, self.calls = answer, []

    def mallopt(self, option, value):
        self.calls.append((option, value))
        return self.answer


def test_the_three_thresholds_are_set(monkeypatch):
    library = C(1)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    assert keep_freed_memory() is True
    # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD of glibc's malloc.h; values are C ints
    assert [option for option, _ in library.calls] == [-3, -1, -2]
    assert all(0 < value < 2**31 for _, value in library.calls)


def test_a_refusal_is_reported(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: C(0))
    assert keep_freed_memory() is False


@pytest.mark.parametrize("platform, library", [("linux", object()), ("darwin", C(1))])
def test_without_glibc_nothing_happens(monkeypatch, platform, library):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    assert keep_freed_memory() is False
    assert getattr(library, "calls", []) == []


@pytest.mark.parametrize(("before", "after"), [("", None), ("1,2", "1,2"), (None, None)])
def test_gpus_that_ray_hid_are_seen_again(before, after, monkeypatch):
    """Ray hides them by an empty list; a list of a person's own stays."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if before is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    show_gpus()
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == after


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy of the package in a folder of its own, as the running code."""
    source = Path(runtime.__file__).parent
    package = shutil.copytree(source, tmp_path / "mtray", ignore=lambda *_: ["weights"])
    monkeypatch.setattr(runtime, "__file__", str(package / "runtime.py"))
    yield package
    code_hash.cache_clear()


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("training/losses.py", True),
        ("evaluation/metrics/new.py", True),
        ("report/tables.py", False),
        ("search/strategy/samplers.py", False),
        ("training/README.md", False),
    ],
)
def test_the_code_of_a_trial_is_what_its_values_depend_on(file, counts, checkout):
    before = trial_code()
    (checkout / file).write_text("# another version\n")
    assert trial_code() == before, "as of the first call in this process"
    code_hash.cache_clear()
    assert (trial_code() != before) == counts
    assert versions()["code"] == trial_code()


def test_the_commit_is_that_of_the_own_checkout(checkout):
    root = checkout.parent

    def git(*arguments):
        own = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(root), *own, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert runtime.commit() is None
    git("init", "-q")
    assert runtime.commit() is None, "nothing is committed yet"
    git("add", ".")
    git("commit", "-q", "-m", "first")
    git("tag", "v1")
    assert runtime.commit() == git("rev-parse", "--short=12", "HEAD")
    (checkout / "runtime.py").write_text("")
    assert runtime.commit() == git("rev-parse", "--short=12", "HEAD") + "-dirty"


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    (checkout.parent / ".git").mkdir()
    monkeypatch.setenv("PATH", str(checkout))
    assert runtime.commit() is None
