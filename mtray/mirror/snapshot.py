"""Which files of a run are copied, so that together they are a state from which it can go on.

The journal is read first and the folder listed after it: a record is written before its result is
entered, so every result in the copied journal has its record in the copy. If the journal has grown
meanwhile, both are repeated, so that the copy has no record of a trial that its journal does not
know.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mtray.run_files import JOURNAL, MIRROR_FILE, RESULT
from mtray.training.checkpoints import STATE, homes

LARGE = 1 << 23  # bytes from which on a file is copied after the records
TRIES = 20
# rebuilt or of this moment: Ray's own files, event files (written again if lost), requests that
# wait
SKIPPED = ("ray_train", "ray_tune", "tensorboard", "control", "progress.json", MIRROR_FILE)
MODEL = "model"  # of a trial, exported from its kept weights
CHECKPOINT = "checkpoint-"
LOG = ".log"  # of workers, which write it

Stamp = tuple[int, int, int]  # modification time in ns, size in bytes, inode


class Unsteady(OSError):
    """Files of the run changed while they were read."""


@dataclass(frozen=True)
class RunFile:
    """A file of the run.

    - `path`: in the run's folder.
    - `stamp`: changes with its content.
    """

    path: str
    stamp: Stamp

    @property
    def size(self) -> int:
        return self.stamp[1]


@dataclass(frozen=True)
class Snapshot:
    """The files of a run at one moment.

    - `journal`: its whole lines.
    - `small`: files to copy at once, without the journal; `large`: those from `LARGE` bytes on.
    - `running`: names of the folders of trials without a record.
    """

    journal: bytes
    small: tuple[RunFile, ...] = ()
    large: tuple[RunFile, ...] = ()
    running: frozenset[str] = frozenset()


@dataclass(frozen=True)
class OpenCheckpoint:
    """The newest checkpoint of a running trial with what else lets the trial resume. Its files are
    open, so that they can be read even after a newer one has replaced them.

    - `key`: changes with every checkpoint.
    - `files`: by path in the run's folder.
    """

    key: tuple[str, Stamp]
    files: dict[str, IO[bytes]]


def stamp_of(path: Path) -> Stamp:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def watched(run_dir: Path) -> frozenset[tuple[str, Stamp]]:
    """Changes whenever there are records to copy: each trial that begins or ends adds to the
    journal."""
    found = set()
    for path in run_dir.iterdir():
        if path.name not in SKIPPED and not path.name.startswith("."):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    found.add((path.name, stamp_of(path)))
    return frozenset(found)


def take_snapshot(run_dir: Path) -> Snapshot:
    """The files that belong together now. Raises Unsteady if they change too fast."""
    for _ in range(TRIES):
        journal = whole_lines(run_dir / JOURNAL)
        files = list(_files(run_dir))
        if whole_lines(run_dir / JOURNAL) == journal:
            return _snapshot(run_dir, journal, files)
    raise Unsteady(f"{run_dir}: its journal grows faster than its files can be listed")


def _snapshot(run_dir: Path, journal: bytes, files: list[RunFile]) -> Snapshot:
    ended = {Path(f.path).parts[1] for f in files if f.path.endswith(f"/{RESULT}")}
    folders = {path.name for path in run_dir.glob("trials/*") if path.is_dir()}
    running = folders - ended
    kept = [
        file
        for file in files
        if not file.path.startswith("trials/") or Path(file.path).parts[1] in ended
    ]
    small = tuple(file for file in kept if file.size < LARGE)
    large = tuple(file for file in kept if file.size >= LARGE)
    return Snapshot(journal, small, large, frozenset(running))


def whole_lines(journal: Path) -> bytes:
    """The journal without a last line that is still being written; empty if there is none."""
    try:
        content = journal.read_bytes()
    except FileNotFoundError:
        return b""
    return content[: content.rfind(b"\n") + 1]


def _files(run_dir: Path) -> Iterator[RunFile]:
    """All that is copied except the journal and checkpoints."""
    for folder, folders, names in os.walk(run_dir):
        here = Path(folder)
        inside = here.relative_to(run_dir).parts
        in_trial = len(inside) == 2 and inside[0] == "trials"
        folders[:] = sorted(name for name in folders if _copied(name, not inside, in_trial))
        for name in sorted(names):
            if _copied(name, not inside, in_trial) and (inside or name != JOURNAL):
                with contextlib.suppress(FileNotFoundError):
                    yield RunFile("/".join((*inside, name)), stamp_of(here / name))


def _copied(name: str, top: bool, in_trial: bool) -> bool:
    if name.startswith(".") or (top and name in SKIPPED):
        return False
    return not (in_trial and (name == MODEL or name.startswith(CHECKPOINT)))


def newest_checkpoint(run_dir: Path, trial: str) -> tuple[str, Stamp] | None:
    """The key of the newest complete checkpoint of a trial; None if it has none."""
    for home in homes(run_dir / "trials" / trial):
        with contextlib.suppress(FileNotFoundError):
            return home.name, stamp_of(home / STATE)
    return None


@contextlib.contextmanager
def open_checkpoint(run_dir: Path, trial: str) -> Iterator[OpenCheckpoint | None]:
    """The newest complete checkpoint of a trial without a record; None if it has none. Raises
    OSError if it was replaced while it was opened."""
    folder = run_dir / "trials" / trial
    with contextlib.ExitStack() as stack:
        key = newest_checkpoint(run_dir, trial)
        if key is None:
            yield None
            return
        home = folder / key[0]
        # the checkpoint first: rungs that are measured after it do no harm
        paths = sorted(home.iterdir()) + sorted(_beside(folder))
        files: dict[str, IO[bytes]] = {}
        for path in paths:
            files[str(path.relative_to(run_dir))] = stack.enter_context(open(path, "rb"))
        if (home.name, stamp_of(home / STATE)) != key:
            raise Unsteady(f"{home}: was replaced while it was opened")
        yield OpenCheckpoint(key, files)


def _beside(folder: Path) -> Iterator[Path]:
    """What else a trial keeps until it ends: its rungs, and the time that it used."""
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts)
        left_out = hidden or parts[0].startswith((CHECKPOINT, MODEL)) or path.suffix == LOG
        if not left_out and path.is_file():
            yield path
