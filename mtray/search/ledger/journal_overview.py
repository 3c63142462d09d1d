"""Read-only view of the search's journal: takes no lock, writes nothing and reports damage."""

from __future__ import annotations

import json
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
    path = run_dir / JOURNAL
    if not path.is_file():
        return Overview(())
    lines, bad = _sound_lines(path.read_bytes())
    damage = f"{path}: line {bad[0]} cannot be read ({len(bad)} in all)" if bad else ""
    if not lines:
        return Overview((), damage)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = optuna.storages.JournalStorage(_Lines(lines))
        known = [study.study_name for study in storage.get_all_studies()]
        ids = [storage.get_study_id_from_name(name) for name in _current(known, run_dir)]
        trials = [t for i in ids for t in storage.get_all_trials(i, deepcopy=False)]
    # Optuna replays the lines one by one; a missing one may make it fail at any other
    except Exception as error:
        return Overview((), damage or f"{path}: cannot be replayed: {error!r}")
    return Overview(tuple(map(_entry, trials)), damage)


def _current(names: list[str], run_dir: Path) -> list[str]:
    """The one of Optuna's study names that the run is bound to; the first one if that is
    unknown."""
    try:
        found = json.loads((run_dir / STUDY_FILE).read_text(encoding="utf-8")).get(OPTUNA)
    except (OSError, ValueError, AttributeError):
        found = None
    return [name for name in names if name == found] or names[:1]


def _sound_lines(content: bytes) -> tuple[list[dict[str, Any]], list[int]]:
    """Parsed lines, and the numbers of those that are not JSON. A last line without a line feed is
    still being written, or was when its process died, and counts as neither."""
    found, bad = [], []
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        try:
            found.append(json.loads(line))
        except ValueError:
            bad.append(number)
    return found, bad


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
