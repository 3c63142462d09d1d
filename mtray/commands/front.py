"""`front` and `export`: the front of a run, finished or not, from its records."""

from __future__ import annotations

from pathlib import Path

from mtray.commands.changed import changed_front
from mtray.commands.folders import run_folder
from mtray.errors import ConfigError
from mtray.report.export import FrontResult, read_front, write_front
from mtray.report.front import Front
from mtray.report.tables import show_front
from mtray.search.run_folder import load_bound


def front_of(path: Path, changed: Path | None = None) -> Front:
    """The front as the records have it now; as they are under the study of the file `changed`,
    where one is given. RunError when there is none or a record is damaged."""
    run_dir = run_folder(path)
    study, _ = load_bound(run_dir)
    return read_front(run_dir, study) if changed is None else changed_front(run_dir, study, changed)


def print_front(path: Path, changed: Path | None = None) -> int:
    show_front(FrontResult(front_of(path, changed), {}))
    more = f" --study {changed} --out FOLDER" if changed else ""
    print(f"as files: python -m mtray export {path}{more}")
    return 0


def export(path: Path, out: Path | None, changed: Path | None = None) -> int:
    """Write the five files and say where. ConfigError when the folder cannot be written, or when
    those of another study would take the place of the run's own."""
    if changed and out is None:
        raise ConfigError(f"--study {changed}: give --out FOLDER, since RUN keeps its own front")
    front = front_of(path, changed)
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
