"""The code of every preset: its report, and what it makes at set-up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mtray.papers import noisy_data, paradox
from mtray.papers.preset import Scale
from mtray.papers.results import PaperResults, Report


class PaperCode(NamedTuple):
    """The functions of a preset.

    - `report`: from its finished runs.
    - `prepare`: makes the files of `$prepared`, given that folder, the user's data and the scale;
      None: there are none.
    """

    report: Callable[[PaperResults], Report]
    prepare: Callable[[Path, Path | None, Scale], None] | None = None


CODE = {
    "2404.14122": PaperCode(noisy_data.report, noisy_data.prepare),
    "2405.20089": PaperCode(paradox.report),
}
