"""Process settings for heavy numerical work, and the versions that results depend on."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import sys
from collections import Counter
from functools import lru_cache
from pathlib import Path

from mtray.metrics_python import COMET, comet_version

CODE = "code"  # among the versions: that of the code which a trial's values depend on
# its folders; the others decide what is tried and how it is shown
TRIAL_FOLDERS = ("compat", "data", "evaluation", "schema", "training", "trial")
CODE_DIGITS = 12
GIT_SECONDS = 10.0
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
    if (comet := comet_version()) is not None:
        found[COMET] = comet
    return found | {CODE: trial_code()}


def version_of(package: str) -> str | None:
    """The installed version; None where the package is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


@lru_cache(maxsize=16)
def code_hash(folder: Path) -> str:
    """Hash of the Python files in a folder and below: another version of the code may produce
    something else from the same inputs."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def trial_code() -> str:
    """Hash of the code that a trial's values depend on, as of its first call in this process."""
    package = Path(__file__).parent
    hashes = [code_hash(package / folder) for folder in TRIAL_FOLDERS]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:CODE_DIGITS]


def commit() -> str | None:
    """The commit of the checkout that this code is in, with `-dirty` where files differ from it;
    None outside a checkout or without git."""
    root = Path(__file__).parents[1]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", f"--abbrev={CODE_DIGITS}"]
    command += ["--exclude=*"]  # no tags: always the commit
    if not (root / ".git").exists():  # an installed copy may lie in another project's checkout
        return None
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() or None


def machine_text(root: Path = Path("/proc")) -> str:
    """The machine of this process in words, such as `AMD EPYC 9354, 64 cores, 256 GB, 2 x NVIDIA
    H100`, as far as the kernel tells; asks no driver."""
    cpu = _field(root / "cpuinfo", "model name") or "unknown CPU"
    parts = [cpu, f"{os.cpu_count()} cores"]
    if memory := _field(root / "meminfo", "MemTotal").removesuffix("kB").strip():
        parts.append(f"{int(memory) * 1024 / 1e9:.0f} GB")
    folders = (root / "driver/nvidia/gpus").glob("*/information")
    gpus = Counter(_field(file, "Model") or "unknown GPU" for file in folders)
    return ", ".join([*parts, *(f"{count} x {name}" for name, count in sorted(gpus.items()))])


def _field(file: Path, key: str) -> str:
    """The first value of `key: value` lines; empty without it."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in found if name.strip() == key), "")
