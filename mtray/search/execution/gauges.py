"""The sweep's numbers as gauges of `ray.util.metrics`, set by the driver, so that none vanishes
with a worker. Ray exports them for Prometheus, with `ray_` before their names."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from mtray.run_files import trial_name
from mtray.schema import Study, TrialRecord
from mtray.search.ledger.live_progress import LiveProgress
from mtray.search.strategy.stop_criteria import hypervolume_now, outer

TRIAL = ("run", "trial")
# name: what it is, and its tags beside those of Ray
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "mtray_trials": ("Trials, the base model included, by state", ("run", "state")),
    "mtray_trials_planned": ("Trials of the sweep, at most", ("run",)),
    "mtray_hypervolume": ("Hypervolume of the front so far", ("run",)),
    "mtray_loss": ("Training loss of a trial, the latest", TRIAL),
    "mtray_tokens_per_second": ("Training speed of a trial", TRIAL),
    "mtray_step": ("Step of a trial's training, or requests answered", TRIAL),
    "mtray_steps": ("Steps or requests of the same phase", TRIAL),
    "mtray_gpu_memory_bytes": ("Most GPU memory that worker 0 has allocated", TRIAL),
    "mtray_objective": (
        "An objective of a trial, at a rung (at=rung 1, ...) or at its end (at=end)",
        (*TRIAL, "objective", "at"),
    ),
    "mtray_phase_seconds": ("Seconds of an ended trial by phase", (*TRIAL, "phase")),
}


AGAIN_EVERY = 5.0  # seconds


class SweepGauges:
    """The gauges of one run. Ray forgets a value once it has exported it, so that those of ended
    trials are set again and again; loss, speed and step are those of running trials.

    `records`: those of earlier starts; `make`: makes a gauge, as Ray's class does.
    """

    def __init__(
        self, run: str, study: Study, records: Iterable[TrialRecord] = (), make: Any = None
    ) -> None:
        if make is None:
            from ray.util.metrics import Gauge

            make = Gauge
        self._run, self._study = run, study
        self._gauges = {
            name: make(name, description=what, tag_keys=tags)
            for name, (what, tags) in GAUGES.items()
        }
        self._states: dict[int, str] = {}
        self._outer: list[TrialRecord] = []  # those that the hypervolume depends on
        self._kept: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._lock, self._set_at = threading.Lock(), 0.0
        for record in records:
            self.ended(record)

    def ended(self, record: TrialRecord) -> None:
        """A trial has ended."""
        self._states[record.number] = record.state
        trial = {"trial": trial_name(record.number)}
        for rung in record.rungs:
            at = {"at": f"rung {rung.rung + 1}"}
            for name, estimate in rung.objectives.items():
                self._keep("mtray_objective", estimate.value, trial | at | {"objective": name})
        for name, score in record.objectives.items():
            tags = trial | {"at": "end", "objective": name}
            self._keep("mtray_objective", score.value, tags)
        for phase, seconds in record.seconds.items():
            self._keep("mtray_phase_seconds", seconds, trial | {"phase": phase})
        for state, count in Counter(self._states.values()).items():
            self._keep("mtray_trials", count, {"state": state})
        self._outer = outer([*self._outer, record], self._study)
        found = hypervolume_now(self._outer, self._study)
        if found is not None:
            self._keep("mtray_hypervolume", found, {})

    def progress(self, found: LiveProgress) -> None:
        """What runs now. Called about every second."""
        if time.monotonic() - self._set_at >= AGAIN_EVERY:
            self._set_at = time.monotonic()
            with self._lock:
                kept = [*self._kept.items()]
            for (name, pairs), value in kept:
                self._set(name, value, dict(pairs))
        self._set("mtray_trials", len(found.trials), {"state": "running"})
        self._set("mtray_trials_planned", found.total, {})
        for trial in found.trials:
            tags = {"trial": trial_name(trial.number)}
            for name in ("loss", "tokens_per_second", "step", "steps", "gpu_memory_bytes"):
                value = getattr(trial, name)
                if value is not None:
                    self._set(f"mtray_{name}", value, tags)

    def _keep(self, name: str, value: float, tags: Mapping[str, str]) -> None:
        with self._lock:
            self._kept[name, tuple(sorted(tags.items()))] = value
        self._set(name, value, tags)

    def _set(self, name: str, value: float, tags: Mapping[str, str]) -> None:
        self._gauges[name].set(value, tags={"run": self._run, **tags})
