"""`paper`: run the experiments of a paper at some scale, and print its figures beside ours."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console

from mtray.errors import ConfigError, RunError
from mtray.files import write_atomically
from mtray.papers.composition import ComposedRun, composed, prepared_dir, written
from mtray.papers.pages import markdown, needs_sheet, setup_sheet
from mtray.papers.preset import SCALES, Preset, Scale, load_preset, preset_ids
from mtray.paths import own_code
from mtray.report.console import new_console
from mtray.report.printing import Sheet, print_lines, print_sheet
from mtray.run_files import STUDY_FILE
from mtray.run_models import PREFIX

if TYPE_CHECKING:
    from mtray.papers.results import RunResults

SWEEP = ("-m", "mtray", "sweep")


@dataclass(frozen=True)
class PaperOptions:
    """What the command line gives.

    - `runs`: the runs of the preset to take; empty: all.
    - `data`: the folder of the files that the preset does not fetch.
    - `model`, `address`: as of a sweep.
    """

    scale: Scale
    runs: tuple[str, ...]
    data: Path | None
    runs_dir: Path
    model: str | None = None
    address: str | None = None


def list_presets() -> int:
    """Print every preset with its scales."""
    for paper in preset_ids():
        preset = load_preset(paper)
        print(f"{paper}: {preset.title}")
        for scale in SCALES:
            print(f"  --scale {scale}: {preset.scales[scale]}")
    print("python -m mtray paper ID --scale SCALE runs one; --check only checks it")
    return 0


def paper(name: str, options: PaperOptions, action: str) -> int:
    """Check a preset's runs, run them, and print the report; `action`: check, report, or run, which
    is all three. Returns the exit code of the first run that does not end well, else 0."""
    preset, console = load_preset(name), new_console()
    if action != "report":
        _check_needs(preset, options, console)
    runs = chosen(preset, options)
    if action == "report":
        return _report(preset, options, runs, console)
    _prepare(preset, options)
    command = f"python -m mtray paper {preset.paper} --scale {options.scale}"
    _make_folder(options.runs_dir)
    files = [written(run, options.runs_dir, command) for run in runs]
    for run, (study, space) in zip(runs, files, strict=True):
        code = _start(preset, run, (study, space), options, action, console)
        if code:
            return code
    return 0 if action == "check" else _report(preset, options, runs, console)


def chosen(preset: Preset, options: PaperOptions) -> list[ComposedRun]:
    """The composed runs that the options name. Raises ConfigError for one that there is not."""
    at = preset.runs_at(options.scale)
    if unknown := [run for run in options.runs if run not in at]:
        raise ConfigError(f"--run {unknown[0]}: {preset.paper} has {', '.join(at)} at this scale")
    found = composed(preset, options.scale, options.data)
    return [run for run in found if not options.runs or run.run in options.runs]


def _check_needs(preset: Preset, options: PaperOptions, console: Console) -> None:
    """Print what the preset needs. Raises ConfigError where files are missing."""
    print_lines([f"{preset.paper}: {preset.title}", ""], console)
    for sheet in (setup_sheet(preset, options.scale), needs_sheet(preset, *_at(options))):
        show(sheet, console)
    needs = preset.needs_at(options.scale).values()
    lacking = [file for need in needs for file in need.missing(options.data)]
    if lacking:
        where = options.data or "no folder was given"
        raise ConfigError(
            f"--data ({where}): {len(lacking)} of the files in the table above are missing, such "
            f"as {lacking[0]}; get them from where the table says, and give their folder with "
            "--data FOLDER"
        )


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise ConfigError(f"--runs-dir {path}: is a file; give a folder") from None


def _at(options: PaperOptions) -> tuple[Scale, Path | None]:
    return options.scale, options.data


def _prepare(preset: Preset, options: PaperOptions) -> None:
    from mtray.papers.reports import CODE

    if prepare := CODE[preset.paper].prepare:
        prepare(prepared_dir(preset), options.data, options.scale)


def _start(
    preset: Preset, run: ComposedRun, files: tuple[Path, Path], options: PaperOptions,
    action: str, console: Console,
) -> int:  # fmt: skip
    """Check one run, or run it as `sweeps/ratio_search.py` does, which also resumes it."""
    study, space = files
    print_lines(["", f"{run.run}: {preset.runs[run.run].about}"], console)
    begins = str(run.study.get("model", ""))
    model = None if begins.startswith(PREFIX) else options.model
    if action == "check":
        from mtray.commands.check import check

        if before := awaited_run(begins, options.runs_dir):
            print_lines([f"begins with a model of {before}: checked once that has ended"], console)
            return 0
        return check(study, space, model, options.address, options.runs_dir)
    arguments = ["--study", str(study), "--space", str(space), "--name", run.name]
    arguments += ["--runs-dir", str(options.runs_dir)]
    for key, value in (("--model", model), ("--address", options.address)):
        arguments += [key, value] if value else []
    print_lines([f"python {shlex.join([*SWEEP, *arguments])}"], console)
    sys.stdout.flush()
    return _awaited([sys.executable, *SWEEP, *arguments])


def awaited_run(model: str, runs_dir: Path) -> str | None:
    """The run that a study's model is of, if that has not been started yet."""
    name = model.removeprefix(PREFIX).rpartition("/")[0]
    there = not model.startswith(PREFIX) or (runs_dir / name / STUDY_FILE).is_file()
    return None if there else name


def _awaited(command: Sequence[str]) -> int:
    """The exit code of a process, as of a shell. Ctrl-C reaches it as well, SIGTERM is passed on to
    it, and it decides when to end."""
    asked = False

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        if process is not None:
            process.send_signal(number)

    process: subprocess.Popen[bytes] | None = None
    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        process = subprocess.Popen(command, env={**os.environ, **own_code()})
        if asked:  # before there was a process to pass it on to
            process.terminate()
        while process.poll() is None:
            with suppress(KeyboardInterrupt):
                process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _report(
    preset: Preset, options: PaperOptions, runs: Sequence[ComposedRun], console: Console
) -> int:
    """Print the report of the finished runs, and write it as a page with its figures."""
    from mtray.papers.reports import CODE
    from mtray.papers.results import PaperResults, read_run

    begun = _begun(runs, options)
    found = {run.run: read_run(options.runs_dir / run.name) for run in begun}
    notes = [text for name, run in found.items() for text in unfinished(name, run)]
    notes += missing_text([run for run in runs if run not in begun])
    report = CODE[preset.paper].report(PaperResults(preset, options.scale, found))
    report = replace(report, parts=[*notes, *report.parts])
    for part in report.parts:
        if isinstance(part, str):
            print_lines(["", part], console)
        else:
            show(part, console)
    start = f"{preset.paper}-{options.scale}"
    text = markdown(report, f"{start}-")
    files = [write_atomically(options.runs_dir / f"{start}.md", text.encode())]
    for name, png in report.figures.items():
        files.append(write_atomically(options.runs_dir / f"{start}-{name}.png", png))
    print_lines(["", *(f"written: {file}" for file in files)], console)
    return 0


def _begun(runs: Sequence[ComposedRun], options: PaperOptions) -> list[ComposedRun]:
    """The runs that have been started. RunError where one was asked for that has not, or none
    has."""
    found = [run for run in runs if (options.runs_dir / run.name / STUDY_FILE).is_file()]
    lacking = [run for run in runs if run not in found]
    if lacking and (options.runs or not found):
        raise RunError(
            f"{options.runs_dir / lacking[0].name}: not a run folder (no {STUDY_FILE}); train it "
            f"first: the same command without --report, or name the folder of all runs with "
            "--runs-dir"
        )
    return found


def missing_text(lacking: Sequence[ComposedRun]) -> list[str]:
    """Runs of the preset that a report lacks."""
    names = ", ".join(f"`{run.run}`" for run in lacking)
    return [f"Not started, and not in this report: {names}."] if lacking else []


def unfinished(name: str, run: RunResults) -> list[str]:
    """How many of the trainings of a run the report has, if not all."""
    done, planned = len(run.records) - 1, run.study.budget.trials
    if done >= planned:
        return []
    return [f"`{name}` is not finished: this report has {done} of its {planned} trainings."]


def show(sheet: Sheet, console: Console) -> None:
    """A table with its title and caption, also when output is piped."""
    print_lines([""], console)
    if not console.is_terminal and sheet.title:
        print_lines([sheet.title], console)
    print_sheet(sheet, console)
    if not console.is_terminal and sheet.caption:
        print_lines([sheet.caption], console)
