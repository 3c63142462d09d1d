"""What a process needs set before heavy numerical work."""

from __future__ import annotations

import ctypes
import os
import sys

# numbers of glibc's mallopt(3)
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory instead of giving it back to the kernel; False where there is no
    glibc.

    By default every tensor over 128 KiB is mapped and unmapped again, and on the CPU the page
    faults cost more than a small model's arithmetic (`benchmarks/malloc.py`).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = (
        (_M_MMAP_THRESHOLD, 1 << 30),
        (_M_TRIM_THRESHOLD, (1 << 31) - 1),
        (_M_TOP_PAD, 1 << 26),
    )
    return all(mallopt(option, value) == 1 for option, value in settings)


def show_gpus() -> None:
    """Let this process see the machine's GPUs, which Ray hides from those that asked for none. To
    be called before torch looks for them."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        del os.environ["CUDA_VISIBLE_DEVICES"]


def versions() -> dict[str, str]:
    """What the numbers depend on."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for package in (
        "mtray",
        "torch",
        "transformers",
        "deepspeed",
        "ray",
        "optuna",
        "unbabel-comet",
        "sacrebleu",
    ):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
