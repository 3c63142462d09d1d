"""Process settings for heavy numerical work, and the versions that results depend on."""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from functools import lru_cache
from pathlib import Path

from mtray.metrics_python import COMET, comet_version

# elements of a batch's logits: 1 GiB in fp32
LOGITS_AT_ONCE = 2**28
# numbers of glibc's mallopt(3)
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory instead of returning it to the kernel; False where there is no
    glibc.

    By default every tensor over 128 KiB is mapped and unmapped again, and on the CPU the page
    faults cost more than a small model's arithmetic. Tensors of 128 MiB and more are still
    unmapped: if they were kept, fragmentation by the logits of a large vocabulary would nearly
    double the memory of Gemma 3 270M (11.2 instead of 6.8 GB, though a quarter faster).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = (
        (_M_MMAP_THRESHOLD, 1 << 27),
        (_M_TRIM_THRESHOLD, (1 << 31) - 1),
        (_M_TOP_PAD, 1 << 26),
    )
    return all(mallopt(option, value) == 1 for option, value in settings)


def show_gpus() -> None:
    """Make the machine's GPUs visible to this process; Ray hides them from processes that did not
    request any. Must be called before torch looks for them."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        del os.environ["CUDA_VISIBLE_DEVICES"]


def versions() -> dict[str, str]:
    """The versions that results depend on; comet's is that of the metrics interpreter."""
    import platform

    packages = (
        "mtray", "torch", "transformers", "tokenizers", "numpy", "deepspeed", "ray", "optuna",
        "sacrebleu", "lingua-language-detector",
    )  # fmt: skip
    found = {"python": platform.python_version()}
    found |= {name: there for name in packages if (there := version_of(name)) is not None}
    comet = comet_version()
    return found if comet is None else found | {COMET: comet}


def version_of(package: str) -> str | None:
    """The installed version; None where the package is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


@lru_cache(maxsize=8)
def code_hash(folder: Path) -> str:
    """Hash of the Python files in a folder and below: another version of the code may produce
    something else from the same inputs."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()
