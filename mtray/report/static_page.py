"""A run's page as one self-contained file (`front.html`): the served page with its data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtray.control_requests import answers
from mtray.report.front import Front
from mtray.report.page_front import page_front, rounded
from mtray.report.page_trials import trial_row, trials_table
from mtray.report.web_page import static_page
from mtray.schema import TrialRecord

EXPLAINED = "explain.json"  # what `explain` has written into the run's folder


def front_page(front: Front, records: Sequence[TrialRecord] = ()) -> str:
    """The page of a front with all trials of its run, as HTML text."""
    return static_page(page_data(front, records), f"{front.study}: Pareto front")


def page_data(front: Front, records: Sequence[TrialRecord] = ()) -> dict[str, Any]:
    """The data of the static page, by part (`mtray.serving.run_data`). It has nothing about a
    running sweep."""
    names = [objective.name for objective in front.objectives]
    return {
        "state": {
            "run": Path(front.run).name, "study": front.study, "model": "", "planned": None,
            "warnings": [], "lines": [], "sweep": None,
            "asked": [answer.line() for answer in answers(Path(front.run))],
        },
        "table": trials_table(map(trial_row, records), names),
        "front": page_front(front),
        "effects": explained(Path(front.run)),
    }  # fmt: skip


def explained(run_dir: Path) -> dict[str, Any] | None:
    """What `explain` has written for the run: `effects` and `laws`; None before it has run, or if
    trials have ended since."""
    file = run_dir / EXPLAINED
    try:
        made = file.stat().st_mtime
        if any(f.stat().st_mtime > made for f in run_dir.glob("trials/*/result.json")):
            return None
        found = json.loads(file.read_text(encoding="utf-8"))
        return {name: rounded(found[name]) for name in ("effects", "laws")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
