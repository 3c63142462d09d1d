"""The interface of a tracker, and the order in which a run is sent to it.

A process can be killed between any two calls, and the run is then sent again from its beginning.
So every call must leave the tracker as it is if what it says is there already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from mtray.tracking.tracked_run import Points, TrackedRun, Value


class Tracker(Protocol):
    """A place that runs are sent to. Any call may raise whatever the tracker's package raises.

    - `place`: where the runs go, without credentials: the same place is sent a run only once.
    - `address`: the same for people.
    """

    place: str
    address: str

    def open_parent(self, run: TrackedRun) -> str:
        """Find the sweep's run by its key, or create it; returns the tracker's id of it."""

    def open_child(self, run: TrackedRun, parent: str) -> str:
        """Find a trial's run by its key, or create it below the sweep's; returns its id."""

    def log_parameters(self, run_id: str, parameters: Mapping[str, Value]) -> None:
        """Parameters that it does not have yet."""

    def log_values(
        self, run_id: str, values: Mapping[str, float], notes: Mapping[str, str]
    ) -> None:
        """Values and texts, which replace those of the same names."""

    def log_series(self, run_id: str, series: Mapping[str, Points]) -> None:
        """Points at steps at which it has none yet."""

    def attach(self, run_id: str, files: tuple[Path, ...]) -> None:
        """Files, which replace those of the same names."""

    def close(self, run_id: str, state: str) -> None:
        """All of it is said. In the state `running` the run stays open for more."""


def send(tracker: Tracker, run: TrackedRun, parent: str | None = None) -> str:
    """Send a run, as the sweep's where there is no `parent`; returns the tracker's id of it."""
    run_id = tracker.open_parent(run) if parent is None else tracker.open_child(run, parent)
    tracker.log_parameters(run_id, run.parameters)
    tracker.log_series(run_id, run.series)
    tracker.log_values(run_id, run.values, run.notes)
    tracker.attach(run_id, run.files)
    tracker.close(run_id, run.state)
    return run_id


@dataclass
class Drafts:
    """For trackers that write a run as a whole: runs that are opened and not closed yet."""

    open: dict[str, TrackedRun] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)

    def start(self, run_id: str, run: TrackedRun, parent: str = "") -> str:
        self.open[run_id] = replace(run, parameters={}, values={}, series={}, notes={}, files=())
        self.parents[run_id] = parent
        return run_id

    def log_parameters(self, run_id: str, parameters: Mapping[str, Value]) -> None:
        self.open[run_id] = replace(self.open[run_id], parameters=parameters)

    def log_values(
        self, run_id: str, values: Mapping[str, float], notes: Mapping[str, str]
    ) -> None:
        self.open[run_id] = replace(self.open[run_id], values=values, notes=notes)

    def log_series(self, run_id: str, series: Mapping[str, Points]) -> None:
        self.open[run_id] = replace(self.open[run_id], series=series)

    def attach(self, run_id: str, files: tuple[Path, ...]) -> None:
        self.open[run_id] = replace(self.open[run_id], files=files)

    def finished(self, run_id: str, state: str) -> tuple[TrackedRun, str]:
        """What was said of a run, which is no longer open then, and the id of its parent."""
        return replace(self.open.pop(run_id), state=state), self.parents.pop(run_id)
