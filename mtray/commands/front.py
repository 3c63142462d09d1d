"""`front` and `export`: the front of a run, finished or not, from its records."""

from __future__ import annotations

from pathlib import Path

from mtray.commands.folders import run_folder
from mtray.errors import ConfigError
from mtray.report.export import FrontResult, write_front
from mtray.report.front import Front, build_front
from mtray.report.records import read_records
from mtray.report.tables import show_front
from mtray.search.run_folder import load_bound


def read_front(path: Path) -> Front:
    """The front as the records have it now. RunError when there is none or a record is damaged."""
    run_dir = run_folder(path)
    study, _ = load_bound(run_dir)
    return build_front(read_records(run_dir).sound(), study, run_dir)


def print_front(path: Path) -> int:
    show_front(FrontResult(read_front(path), {}))
    print(f"as files: python -m mtray export {path}")
    return 0


def export(path: Path, out: Path | None) -> int:
    """Write the five files and say where. ConfigError when the folder cannot be written."""
    front = read_front(path)
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
