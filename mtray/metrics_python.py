"""The interpreter that learned metrics run in, and the versions of its packages.

unbabel-comet needs transformers below 5, NumPy 1 and protobuf 4, and with transformers 5 it gives
other scores in silence. So it has an environment of its own. Needs the standard library alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mtray.errors import ModelError

VARIABLE = "MTRAY_METRICS_PYTHON"
FOLDER = ".venv-metrics"
COMET = "unbabel-comet"
PACKAGES = (COMET, "transformers", "torch", "numpy", "protobuf", "pytorch-lightning")
SECONDS = 60.0  # to ask an interpreter for its versions
_ASK = (
    "import json, sys\n"
    "from importlib.metadata import PackageNotFoundError, version\n"
    "found = {'python': sys.version.split()[0]}\n"
    "for name in sys.argv[1:]:\n"
    "    try: found[name] = version(name)\n"
    "    except PackageNotFoundError: pass\n"
    "print(json.dumps(found))\n"
)
HOW = (
    f"run `make setup`, which builds {FOLDER}, or without a checkout: python3.11 -m venv "
    f"~/mtray-metrics; ~/mtray-metrics/bin/pip install {COMET}==2.2.7 'setuptools<81'; export "
    f"{VARIABLE}=~/mtray-metrics/bin/python"
)


@dataclass(frozen=True)
class MetricsPython:
    """An interpreter that can run comet.

    path: the interpreter.
    versions: of Python and `PACKAGES`, those that are installed.
    """

    path: str
    versions: dict[str, str]


def metrics_python() -> MetricsPython:
    """The interpreter that `MTRAY_METRICS_PYTHON` names, else that of `.venv-metrics` beside the
    running environment or the checkout, else the running one if it has comet and transformers
    below 5. Raises ModelError if there is none, or if the first of these cannot run comet."""
    named = os.environ.get(VARIABLE)
    if named:
        path = Path(named).expanduser()
        if not path.is_absolute() and len(path.parts) > 1:
            raise ModelError(
                f"comet: {VARIABLE}={named} is relative, and trials run in other folders; give an "
                "absolute path"
            )
        return _checked(str(path), f"{VARIABLE}={named}")
    for place in _beside():
        if place.is_file():
            return _checked(str(place), str(place))
    own = {name: found for name in PACKAGES if (found := _own(name)) is not None}
    if why := _unfit(own):
        raise ModelError(
            f"comet: no interpreter for metrics: no {FOLDER} in {', '.join(_folders())}, and the "
            f"running {sys.executable} {why}; {HOW}"
        )
    return MetricsPython(sys.executable, {"python": sys.version.split()[0], **own})


def comet_version() -> str | None:
    """The version of unbabel-comet that scores here; None if there is none."""
    try:
        return metrics_python().versions.get(COMET)
    except ModelError:
        return None


def _folders() -> list[str]:
    """Those that may hold `.venv-metrics`: around the running environment, and the checkout."""
    return list(dict.fromkeys([str(Path(sys.prefix).parent), str(Path(__file__).parents[1])]))


def _beside() -> Iterator[Path]:
    for folder in _folders():
        yield Path(folder) / FOLDER / "bin" / "python"


def _own(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _checked(path: str, what: str) -> MetricsPython:
    """Raises ModelError if the interpreter cannot run comet."""
    try:
        found = _versions_of(path)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise ModelError(f"comet: {what} is not a Python that can run: {error}; {HOW}") from error
    if why := _unfit(found):
        raise ModelError(f"comet: {what} {why}; {HOW}")
    return MetricsPython(path, found)


def _unfit(versions: dict[str, str]) -> str:
    """Why an interpreter with these packages cannot run comet; empty if it can."""
    if COMET not in versions:
        return f"has no {COMET}"
    transformers = versions.get("transformers", "none")
    if transformers == "none" or int(transformers.split(".")[0]) >= 5:
        return (
            f"has transformers {transformers}, and {COMET} needs one below 5 (with 5 its scores "
            "are others)"
        )
    return ""


@lru_cache(maxsize=8)
def _versions_of(path: str) -> dict[str, str]:
    command = [path, "-I", "-c", _ASK, *PACKAGES]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise ValueError((done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1])
    found: dict[str, str] = json.loads(done.stdout)
    return found
