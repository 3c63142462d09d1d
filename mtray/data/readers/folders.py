"""The files of a data set's folder, found without walking through a whole file system."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mtray.errors import DataError

MOST_ENTRIES = 100_000  # files and folders below a data set's folder
# of `save_to_disk`, and of Parquet
DATA = (".arrow", ".json", ".parquet")


def entries_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder; links to folders are not followed. DataError when there are too
    many, or when a folder cannot be read."""
    waiting, seen = [folder], 0
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    seen += 1
                    if seen > MOST_ENTRIES:
                        raise DataError(
                            f"{folder}: over {MOST_ENTRIES:,} files and folders below it; name "
                            "the folder of the data set itself"
                        )
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    elif entry.is_file():
                        yield Path(entry.path)
        except OSError as error:
            raise DataError(f"{here}: cannot be read: {error.strerror}") from None


def data_files(folder: Path, suffixes: Sequence[str] = DATA) -> list[Path]:
    """The files below a data set's folder that it consists of, sorted. DataError where there is
    none."""
    found = sorted(path for path in entries_below(folder) if path.suffix in suffixes)
    if not found:
        raise DataError(
            f"{folder}: a folder; expected a file, or a data set: a folder by `save_to_disk` or of "
            "Parquet files"
        )
    return found
