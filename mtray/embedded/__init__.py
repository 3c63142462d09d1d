"""The default study: its corpora (fetched at set-up), and the small models trained by the scripts
in this folder."""

from __future__ import annotations

import os
from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
BASE_MODEL = WEIGHTS / "base"
COMET_MODEL = WEIGHTS / "comet"


def cache_dir() -> Path:
    """Folder for everything mtray prepares once: `$MTRAY_CACHE`, or the user's cache folder."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("MTRAY_CACHE") or user_cache_path("mtray"))
