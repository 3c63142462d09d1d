"""`report`: a report for a paper."""

from __future__ import annotations

from pathlib import Path

from mtray.commands.front import ViewOptions, front_from, seen
from mtray.commands.held_out_test import FOLDER, RESULT
from mtray.errors import ConfigError
from mtray.publication.facts import Subject, read_starts
from mtray.publication.report import write_report


def report(path: Path, folder: Path, view: ViewOptions) -> int:
    """Write the files and print their paths. RunError where there is no front, ConfigError for a
    folder that cannot be written."""
    run = seen(path, view)
    front = front_from(run, view)
    starts = read_starts(run.folder)
    subject = Subject(run.study, run.space, run.records, front, starts)
    try:
        files = write_report(subject, held_out_sentence(run.folder), folder)
    except OSError as error:
        raise ConfigError(
            f"--out {folder}: cannot be written ({error.strerror}); choose another folder"
        ) from None
    for file in files:
        print(f"{file.suffix[1:]}: {file}")
    return 0


def held_out_sentence(run_dir: Path) -> str:
    """Whether the front was measured on test segments."""
    file = run_dir / FOLDER / RESULT
    if file.is_file():
        return "The front was also measured on held-out test segments, which no trial had seen."
    return (
        "The scores are of the segments that the search used; the front was not measured on "
        "held-out test segments."
    )
