"""The code of every preset: its report, and what it makes at set-up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mtray.papers import cross_language_tasks, many_languages, noisy_data, paradox, two_phases
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
    "004": PaperCode(cross_language_tasks.report, cross_language_tasks.prepare),
    "2305.15083": PaperCode(many_languages.report, many_languages.prepare),
    "2404.14122": PaperCode(noisy_data.report, noisy_data.prepare),
    "2405.20089": PaperCode(paradox.report),
    "2410.16006": PaperCode(two_phases.report, two_phases.prepare),
}
