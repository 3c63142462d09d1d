"""Counters of a running training: steps, tokens, learning rates and losses."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from mtray.schema import TrainingRecord

ENTRIES = 50  # approximate number of points in a trial's loss curve


@dataclass
class Meter:
    """Sums since the start, and since the last entry of the loss curve. `rung_due`: whether the
    rung after the last step is still to be measured."""

    started: float = field(default_factory=time.perf_counter)
    steps: int = 0
    tokens: int = 0
    accumulated_rate: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    resumed: list[int] = field(default_factory=list)
    rung_due: bool = False

    def state(self) -> dict[str, Any]:
        """What a checkpoint stores; elapsed `seconds` instead of the start time."""
        found = {name: value for name, value in vars(self).items() if name != "started"}
        return {**found, "seconds": time.perf_counter() - self.started}

    @classmethod
    def again(cls, state: dict[str, Any] | None) -> Meter:
        """The meter restored from a checkpoint's state; a new one without."""
        if state is None:
            return cls()
        started = time.perf_counter() - state["seconds"]
        found = cls(started, **{name: v for name, v in state.items() if name != "seconds"})
        found.curve = [(step, loss) for step, loss in found.curve]
        found.resumed.append(found.steps)
        return found

    def add(self, step: int, steps: int, loss: float, tokens: int, rate: float) -> None:
        """Add a step of `steps`, with its loss, tokens and learning rate."""
        self.steps = step
        self.tokens += tokens
        self.accumulated_rate += rate
        self.losses.append(loss)
        if step % max(1, steps // ENTRIES) == 0 or step == steps:
            self.curve.append((step, sum(self.losses) / len(self.losses)))
            self.losses.clear()

    def record(self, **fixed: Any) -> TrainingRecord:
        """The training record so far; the last step is always an entry of the loss curve."""
        rest = [(self.steps, sum(self.losses) / len(self.losses))] if self.losses else []
        return TrainingRecord(
            steps=self.steps, tokens=self.tokens, tokens_per_second=self.speed,
            accumulated_learning_rate=self.accumulated_rate,
            tokens_per_parameter=self.tokens / max(1, fixed["trainable_parameters"]),
            loss=(*self.curve, *rest), resumed=tuple(self.resumed), **fixed,
        )  # fmt: skip

    @property
    def speed(self) -> float:
        """Tokens per second."""
        return self.tokens / max(1e-9, time.perf_counter() - self.started)
