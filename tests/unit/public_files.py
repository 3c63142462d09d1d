"""Public test sets as their authors distribute them (`cocoa-mt/`, `ctxpro/`, `tico-19/`, `wmt/`,
`idioms-incontext-mt/`), which this repository does not hold. They are looked for in the folder
MTRAY_PUBLIC_FILES, or else beside the checkout; without them, what needs them is skipped."""

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"
PUBLIC = Path(os.environ.get("MTRAY_PUBLIC_FILES") or BESIDE)
COCOA_MT, CTXPRO, IDIOMS, TICO, WMT = (
    PUBLIC / name for name in ("cocoa-mt", "ctxpro", "idioms-incontext-mt", "tico-19", "wmt")
)


def needs(folder: Path) -> pytest.MarkDecorator:
    reason = f"the public files of {folder.name} are not here (MTRAY_PUBLIC_FILES)"
    return pytest.mark.skipif(not folder.is_dir(), reason=reason)
