"""Settings of the process's allocator."""

import ctypes
import os
import sys

import pytest

from mtray.runtime import keep_freed_memory, show_gpus


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
