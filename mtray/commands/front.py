"""`front` and `export`: the front of a run, finished or not, from its records."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from mtray.commands.folders import run_folder
from mtray.errors import ConfigError
from mtray.report.all_trials import AllTrials, all_trials, trials_lines, trials_sheet
from mtray.report.draws import draws_of
from mtray.report.export import FrontResult, read_front, write_front
from mtray.report.front import Front
from mtray.report.printing import print_lines, print_sheet
from mtray.report.records import read_records
from mtray.report.tables import short_text, show_front
from mtray.schema import Frozen
from mtray.search.run_folder import load_bound


def front_of(path: Path, against: str | None = None, absolute: bool = False) -> Front:
    """The front as the records have it now; `absolute`: without what differences are shown to.
    RunError when there is none or a record is damaged."""
    run_dir = run_folder(path)
    study, space = load_bound(run_dir)
    front = read_front(run_dir, study, against, space)
    return front.model_copy(update={"reference": None}) if absolute else front


def print_front(path: Path, against: str | None, absolute: bool, as_json: bool) -> int:
    front = front_of(path, against, absolute)
    if as_json:
        return _print_json(front)
    show_front(FrontResult(front, {}))
    print(f"as files: python -m mtray export {path}")
    return 0


def print_all(path: Path, against: str | None, absolute: bool, as_json: bool) -> int:
    """Every complete trial."""
    run_dir = run_folder(path)
    study, _ = load_bound(run_dir)
    found = all_trials(read_records(run_dir).sound(), study, run_dir, draws_of(run_dir), against)
    if absolute:
        found = found.model_copy(update={"reference": None})
    return _print_json(found) if as_json else _show_all(found)


def _show_all(found: AllTrials) -> int:
    console = Console()
    print_sheet(trials_sheet(found), console, trials_sheet(found, short_text))
    print_lines(trials_lines(found), console)
    return 0


def _print_json(found: Frozen) -> int:
    print(json.dumps(found.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False))
    return 0


def export(path: Path, out: Path | None, against: str | None, absolute: bool) -> int:
    """Write the five files and say where. ConfigError when the folder cannot be written."""
    front = front_of(path, against, absolute)
    folder = out or Path(front.run)
    try:
        files = write_front(front, folder)
    except OSError as error:
        raise ConfigError(
            f"--out {folder}: cannot be written ({error.strerror}); choose another folder"
        ) from None
    for ending, file in sorted(files.items()):
        print(f"{ending}: {file}")
    return 0
