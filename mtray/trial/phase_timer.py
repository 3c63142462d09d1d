"""The seconds of a trial by phase, and which of them count as its cost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class PhaseTimer:
    """Wall-clock seconds by phase."""

    phases: dict[str, float] = field(default_factory=dict)
    _running: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self._running[name] = start = time.perf_counter()
        try:
            yield
        finally:
            del self._running[name]
            self.add({name: time.perf_counter() - start})

    def add(self, phases: Mapping[str, float]) -> None:
        for name, spent in phases.items():
            self.phases[name] = self.phases.get(name, 0.0) + spent

    def beside_training(self, name: str, spent: float) -> None:
        """Record a phase nested in training, and do not count it as training."""
        self.add({name: spent, "training": -spent})

    def so_far(self) -> dict[str, float]:
        """The phases so far, including the elapsed time of one that is still running."""
        found = PhaseTimer(dict(self.phases))
        found.add({name: time.perf_counter() - start for name, start in self._running.items()})
        return found.phases
