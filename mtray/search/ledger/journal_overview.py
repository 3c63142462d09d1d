"""Read-only view of the search's journal: takes no lock, writes nothing and reports damage."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, TrialState

from mtray.run_files import JOURNAL, STUDY_FILE
from mtray.schema import Role
from mtray.search.ledger.run_folder import OPTUNA
from mtray.search.ledger.trial_attributes import (
    CONFIRMS,
    FIRST_AGAIN,
    IMPORTED,
    REPLICATE,
    SETTLES,
    WHY,
    role_of,
)

Stage = Literal["waiting", "started", "finished", "pruned", "failed"]
Purpose = Literal["", "taken", "confirm", "settle"]


@dataclass(frozen=True)
class Entry:
    """A trial as recorded in the journal.

    - `stage`: `started` means dispatched; the trial runs or was interrupted.
    - `reason`: why it ended without values.
    - `purpose`: whether it was imported, confirms the recommended recipe or settles the answer.
    - `why`: for the last two, why it was requested.
    - `role`, `replicate`: as in the record.
    - `first_again`: whether it repeats the first baseline, at the start.
    """

    number: int
    stage: Stage
    reason: str = ""
    purpose: Purpose = ""
    why: str = ""
    role: Role = "search"
    replicate: int = 0
    first_again: bool = False

    @property
    def is_baseline(self) -> bool:
        """Whether it is a baseline of this run, and not a replicate of one."""
        return self.role != "search" and not self.replicate and self.purpose != "taken"


@dataclass(frozen=True)
class Overview:
    """`damage` describes what of the journal could not be read; empty if all of it could."""

    trials: tuple[Entry, ...]
    damage: str = ""


class _Lines(BaseJournalBackend):
    """A journal's lines in memory."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self._lines = lines

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:  # type: ignore[override]
        return self._lines[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise PermissionError("this view of the journal is read-only")


def read_overview(run_dir: Path) -> Overview:
    """Every trial of the journal; none if there is no journal yet. Does not raise for damage."""
    return WatchedOverview(run_dir).look()


class WatchedOverview:
    """The overview of a journal that grows: only its new lines are read again, since a look at
    thousands of trials takes a second. One that was replaced is read from its beginning."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir, self._path = run_dir, run_dir / JOURNAL
        self._begin()

    def _begin(self) -> None:
        self._journal = JournalLines(self._path)
        self._storage: Any = None
        self._known: dict[int, tuple[FrozenTrial, Entry]] = {}

    def look(self) -> Overview:
        """See `read_overview`."""
        if not self._path.is_file():
            return Overview(())
        if self._journal.replaced():
            self._begin()
        self._journal.read()
        damage = self._journal.damage()
        if not self._journal.lines:
            return Overview((), damage)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            trials = self._trials()
        # Optuna replays the lines one by one; a missing one may make it fail at any other
        except Exception as error:
            self._begin()  # what was replayed so far is of no use
            return Overview((), damage or f"{self._path}: cannot be replayed: {error!r}")
        return Overview(tuple(map(self._entry, trials)), damage)

    def _trials(self) -> list[FrozenTrial]:
        if self._storage is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._storage = optuna.storages.JournalStorage(_Lines(self._journal.lines))
        known = [study.study_name for study in self._storage.get_all_studies()]
        ids = map(self._storage.get_study_id_from_name, _current(known, self._run_dir))
        return [t for i in ids for t in self._storage.get_all_trials(i, deepcopy=False)]

    def _entry(self, trial: FrozenTrial) -> Entry:
        """Optuna replaces a trial that changes."""
        known = self._known.get(trial.number)
        if known is None or known[0] is not trial:
            known = self._known[trial.number] = trial, _entry(trial)
        return known[1]


class JournalLines:
    """The lines of a journal, parsed, as far as it was read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lines: list[dict[str, Any]] = []
        self._bad: list[int] = []  # the numbers of lines that are not JSON
        self._count, self._end = 0, 0  # lines, and bytes
        self._begins = b""

    def replaced(self) -> bool:
        """Whether the file is another one than that which was read, or has lost its end."""
        with open(self._path, "rb") as file:
            begins = file.read(len(self._begins))
            return begins != self._begins or os.fstat(file.fileno()).st_size < self._end

    def read(self) -> None:
        """Read what was added. A last line without a line feed is still being written, or was when
        its process died, and counts neither as a line nor as damage."""
        with open(self._path, "rb") as file:
            file.seek(self._end)
            content = file.read()
        for line in content.split(b"\n")[:-1]:
            self._count += 1
            self._end += len(line) + 1
            self._begins = self._begins or line + b"\n"
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                self._bad.append(self._count)

    def damage(self) -> str:
        if not self._bad:
            return ""
        return f"{self._path}: line {self._bad[0]} cannot be read ({len(self._bad)} in all)"


def _current(names: list[str], run_dir: Path) -> list[str]:
    """The one of Optuna's study names that the run is bound to; the first one if that is
    unknown."""
    try:
        found = json.loads((run_dir / STUDY_FILE).read_text(encoding="utf-8")).get(OPTUNA)
    except (OSError, ValueError, AttributeError):
        found = None
    return [name for name in names if name == found] or names[:1]


def _entry(trial: FrozenTrial) -> Entry:
    notes = trial.user_attrs
    failed = trial.state.is_finished() and trial.state != TrialState.COMPLETE
    reason = str(notes.get("reason", "")) if failed else ""
    return Entry(
        trial.number, _stage(trial), reason, _purpose(trial), why=str(notes.get(WHY, "")),
        role=role_of(trial), replicate=int(notes.get(REPLICATE, 0)),
        first_again=FIRST_AGAIN in notes,
    )  # fmt: skip


def _stage(trial: FrozenTrial) -> Stage:
    if trial.state == TrialState.COMPLETE:
        return "finished"
    if trial.state.is_finished():
        return "pruned" if trial.state == TrialState.PRUNED else "failed"
    # a released trial waits again, but keeps the parameters it was dispatched with
    return "started" if trial.state == TrialState.RUNNING or trial.params else "waiting"


def _purpose(trial: FrozenTrial) -> Purpose:
    notes: dict[str, Purpose] = {IMPORTED: "taken", CONFIRMS: "confirm", SETTLES: "settle"}
    return next((found for note, found in notes.items() if note in trial.user_attrs), "")
