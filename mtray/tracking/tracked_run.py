"""What a tracker shows of a sweep or of one trial, as plain data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mtray.files import file_hash

Value = int | float | str
Points = tuple[tuple[int, float], ...]  # pairs of a step and a value, by step
RUNNING = "running"  # state of a sweep that goes on; others are those of a record, or "complete"
FAILED = ("failed", "infeasible")


@dataclass(frozen=True)
class TrackedRun:
    """A sweep or a trial.

    - `key`: the same in every sending, and different for every trial of every run folder.
    - `name`: for people.
    - `state`: that of the record; of a sweep `running` or `complete`.
    - `parameters`: what was decided before.
    - `values`: what was measured, each once; `compared`: the names of those to compare trials by.
    - `series`: what was measured at several steps.
    - `notes`: texts, such as why a trial failed.
    - `files`: to attach.
    - `ended`: in seconds of the epoch; None: not known.
    """

    key: str
    name: str
    state: str
    parameters: Mapping[str, Value] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    compared: tuple[str, ...] = ()
    series: Mapping[str, Points] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    ended: float | None = None

    def digest(self) -> str:
        """A hash of all of it, with the content of the files."""
        content = [
            self.name, self.state, dict(self.parameters), dict(self.values),
            list(self.compared),
            {name: list(points) for name, points in self.series.items()}, dict(self.notes),
            {path.name: file_hash(path) for path in self.files}, self.ended,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def rows_by_step(series: Mapping[str, Points]) -> list[tuple[int, dict[str, float]]]:
    """All series together: for every step, in their order, the values there."""
    found: dict[int, dict[str, float]] = {}
    for name, points in series.items():
        for step, value in points:
            found.setdefault(step, {})[name] = value
    return sorted(found.items())
