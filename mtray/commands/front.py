"""`front` and `export`: the front of a run, finished or not, from its records."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from mtray.commands.changed_study import changed_run
from mtray.commands.run_argument import run_folder
from mtray.errors import ConfigError
from mtray.report.all_trials import AllTrials, all_trials, trials_lines, trials_sheet
from mtray.report.answer import Answer
from mtray.report.bootstrap_draws import draws_of
from mtray.report.console import new_console
from mtray.report.export import FrontResult, write_front
from mtray.report.front import Front
from mtray.report.front_builder import build_front
from mtray.report.groups import Draws
from mtray.report.printing import print_json, print_lines, print_sheet
from mtray.report.records import read_records
from mtray.report.tables import short_text, show_front
from mtray.schema import Study, TrialRecord
from mtray.search.ledger.run_folder import load_bound
from mtray.search_space.space import Space


@dataclass(frozen=True)
class ViewOptions:
    """How a run is shown.

    - `against`: the reference of differences (`mtray.report.paired_differences.reference_number`).
    - `absolute`: values instead of differences.
    - `study`: the file of another study to recompute the run under; None: the run's own.
    """

    against: str | None = None
    absolute: bool = False
    study: Path | None = None


@dataclass(frozen=True)
class ViewedRun:
    """A run as shown; `notes` say what differs from the run itself."""

    folder: Path
    study: Study
    space: Space
    records: tuple[TrialRecord, ...]
    draws: Draws
    notes: tuple[str, ...] = ()


def seen(path: Path, view: ViewOptions) -> ViewedRun:
    """The run under these options. RunError when a record is damaged, or a changed study needs more
    than the run has stored."""
    run_dir = run_folder(path)
    study, space = load_bound(run_dir)
    if view.study is None:
        records = read_records(run_dir).sound()
        return ViewedRun(run_dir, study, space, records, draws_of(run_dir))
    changed, run, notes = changed_run(run_dir, study, view.study)
    return ViewedRun(run_dir, changed, space, tuple(run.records), run.draws, notes)


def front_of(path: Path, view: ViewOptions) -> Front:
    """The front from the current records. RunError when there is none or a record is damaged."""
    return front_from(seen(path, view), view)


def front_from(run: ViewedRun, view: ViewOptions) -> Front:
    """The front of a run that was read. RunError when no trial is complete."""
    front = build_front(run.records, run.study, run.folder, run.draws, view.against, run.space)
    front = front.model_copy(update={"notes": (*front.notes, *run.notes)})
    if view.study is not None and front.answer is not None:
        front = front.model_copy(update={"answer": _restated(front.answer)})
    return front.model_copy(update={"reference": None}) if view.absolute else front


def _restated(answer: Answer) -> Answer:
    """The answer without the commands that use the run's own study."""
    own = [found for found in answer.commands if " export " in found[0]]
    return answer.model_copy(update={"commands": tuple(own)})


def print_front(path: Path, view: ViewOptions, as_json: bool) -> int:
    front = front_of(path, view)
    if as_json:
        print_json(front)
        return 0
    show_front(FrontResult(front, {}))
    more = f" --study {shlex.quote(str(view.study))} --out FOLDER" if view.study else ""
    print(f"as files: python -m mtray export {shlex.quote(str(path))}{more}")
    return 0


def print_all(path: Path, view: ViewOptions, as_json: bool) -> int:
    """Print every complete trial."""
    run = seen(path, view)
    found = all_trials(run.records, run.study, run.folder, run.draws, view.against)
    if view.absolute:
        found = found.model_copy(update={"reference": None})
    if as_json:
        print_json(found)
        return 0
    return _show_all(found, run.notes)


def _show_all(found: AllTrials, notes: tuple[str, ...]) -> int:
    console = new_console()
    print_sheet(trials_sheet(found), console, trials_sheet(found, short_text))
    print_lines([*trials_lines(found), *(f"note: {note}" for note in notes)], console)
    return 0


def export(path: Path, out: Path | None, view: ViewOptions, all_columns: bool = False) -> int:
    """Write the five files and print their paths. ConfigError when the folder cannot be written, or
    when files of another study would replace the run's own."""
    if view.study and out is None:
        raise ConfigError(f"--study {view.study}: give --out FOLDER, since RUN keeps its own front")
    run = seen(path, view)
    front = front_from(run, view)
    folder = out or Path(front.run)
    try:
        files = write_front(front, folder, run.records, all_columns)
    except OSError as error:
        raise ConfigError(
            f"--out {folder}: cannot be written ({error.strerror}); choose another folder"
        ) from None
    for ending, file in sorted(files.items()):
        print(f"{ending}: {file}")
    return 0
