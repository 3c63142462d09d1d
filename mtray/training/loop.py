"""Fine-tune a model on the examples of one mix. Knows neither Ray nor the recipe's mixing
parameters."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mtray.errors import LossNotFinite, TrialPruned, TrialStopped
from mtray.schema import Training, TrainingRecord
from mtray.training.checkpoints import Checkpoints
from mtray.training.examples import Example
from mtray.training.losses import form_for
from mtray.training.meter import Meter
from mtray.training.schedule import batches, learning_rate_at, step_after
from mtray.training.step import Feed, free_on_all, micro_batch_tokens
from mtray.training.worker import Worker

PROGRESS_SECONDS = 0.5  # between two progress reports


class RungPosition(NamedTuple):
    """A rung's index, and the step of `steps` after which it was reached."""

    rung: int
    step: int
    steps: int


def rung_steps(shares: Sequence[float], steps: int) -> dict[int, int]:
    """The step after which each rung is measured -> its index. A rung at the last step is left out;
    of several at one step, the last one counts."""
    found = {step_after(share, steps): index for index, share in enumerate(shares)}
    return {step: index for step, index in found.items() if step < steps}


@dataclass(frozen=True)
class CheckpointSchedule:
    """Intermediate checkpoints of a training, each a point of its own.

    - `shares`: shares of the trial's steps after which they are evaluated.
    - `take`: evaluates one on every worker, given the share, the module and the record so far,
      under the conditions of `RungSchedule.measure`; may raise TrialStopped on all workers.
    - `known`: whether the one at a share was evaluated before the training was interrupted.
    """

    shares: tuple[float, ...] = ()
    take: Callable[[float, Any, TrainingRecord], None] = lambda share, module, record: None
    known: Callable[[float], bool] = lambda share: False

    def due(self, step: int, steps: int) -> list[float]:
        return [s for s in self.shares if step_after(s, steps) == step and not self.known(s)]


@dataclass(frozen=True)
class RungSchedule:
    """The rungs of a training.

    - `shares`: shares of the trial's steps.
    - `measure`: called on every worker with the module, says whether the trial ends; it must draw
      no random numbers and leave the module unchanged; may raise TrialStopped on all workers.
    - `points`: intermediate checkpoints, evaluated after the rungs.
    """

    shares: tuple[float, ...] = ()
    measure: Callable[[RungPosition, Any], bool] = lambda reached, module: False
    points: CheckpointSchedule = CheckpointSchedule()


@dataclass(frozen=True)
class Tuning:
    """How a model is tuned: settings of the study, the recipe and the trial.

    - `seed`: of the order of the examples.
    - `notes`: further fields of the record.
    - `stop_after`: as in the recipe.
    """

    training: Training
    precision: str
    learning_rate: float
    seed: int
    notes: Mapping[str, Any] = field(default_factory=dict)
    stop_after: float = 1.0


def example_lengths(examples: Sequence[Example]) -> npt.NDArray[np.int64]:
    """Tokens of every example, shape (examples,); the examples of a mix know their lengths without
    being read."""
    known = getattr(examples, "lengths", None)
    return known() if known else np.array([len(ids) for ids, _ in examples])


def finetune(
    build: Callable[[Any], Any],
    model: Any,
    examples: Sequence[Example],
    tuning: Tuning,
    *,
    rungs: RungSchedule = RungSchedule(),
    checkpoints: Checkpoints | None = None,
    worker: Worker = Worker(),
) -> tuple[Any, TrainingRecord]:
    """Train `model` on `examples`. Returns the engine that holds it and the training record.

    `build(model)` makes the engine; parameters that do not require a gradient are not trained. The
    loss of a step is the mean over the target tokens of the global batch, whatever the number of
    workers and micro-batches. With `checkpoints`, training resumes after the step of the last one,
    and a checkpoint is written after every rung and every point, at regular intervals, and when
    training is stopped.

    Raises LossNotFinite, TrialStopped when `worker.should_stop` says so, and TrialPruned with the
    record so far when a rung ends the trial.
    """
    from mtray.training.parameter_counts import count_trainable, parameter_count

    training, checkpoints = tuning.training, checkpoints or Checkpoints()
    form = form_for(model, examples, training)
    fixed = {
        **tuning.notes,
        "precision": tuning.precision,
        "packed": form == "packed",
        "trainable_parameters": count_trainable(model),
        "total_parameters": parameter_count(model),
    }
    engine = build(model)
    engine.module.train()
    free = free_on_all(int(fixed["trainable_parameters"]), worker.process_group)
    most = micro_batch_tokens(model, training.micro_batch_tokens, worker.batch_share, free)
    lengths = example_lengths(examples)
    feed = Feed(examples, lengths, worker.process_group, most, form)
    steps = batches(lengths, training, tuning.seed)
    meter = Meter.again(checkpoints.resume(engine, worker.process_group))
    return engine, _Loop(engine, feed, steps, tuning, rungs, checkpoints, worker, meter, fixed)()


@dataclass
class _Loop:
    """The remaining steps, from the meter's position on; calling it returns the record."""

    engine: Any
    feed: Feed
    steps: Sequence[npt.NDArray[np.int64]]
    tuning: Tuning
    rungs: RungSchedule
    checkpoints: Checkpoints
    worker: Worker
    meter: Meter
    fixed: Mapping[str, Any]
    _told: float = field(default=-math.inf, init=False)

    def __post_init__(self) -> None:
        self._kept = self.meter.steps
        planned = len(self.steps)
        self._end = step_after(self.tuning.stop_after, planned)
        marks = rung_steps(self.rungs.shares, planned)
        self._marks = {step: rung for step, rung in marks.items() if step < self._end}
        self._points = {step_after(share, planned) for share in self.rungs.points.shares}

    def __call__(self) -> TrainingRecord:
        # a rung or points whose evaluation was interrupted
        if self.meter.rung_due:
            self._measure(self._kept)
        self._take(self._kept)
        for step, rows in enumerate(self.steps[self._kept : self._end], self._kept + 1):
            self._leave_if_asked()
            loss = self._step(step, rows)
            self._tell(step, loss)
            if step in self._marks:
                self._measure(step)
            self._take(step)
            self._keep(step)
        if self.meter.steps > self._kept:
            self.checkpoints.save_trained = self._save
        return self.meter.record(**self.fixed)

    def _leave_if_asked(self) -> None:
        if self.worker.process_group.agree(self.worker.should_stop()):
            if self.meter.steps > self._kept:
                self._save()
            raise TrialStopped

    def _step(self, step: int, rows: npt.NDArray[np.int64]) -> float:
        count = len(self.steps)
        rate = learning_rate_at(step - 1, count, self.tuning.learning_rate, self.tuning.training)
        loss = self.feed.step(self.engine, rows, rate)
        if not math.isfinite(loss):
            raise LossNotFinite(f"the training loss is {loss} at step {step} of {count}")
        self.meter.add(step, count, loss, int(self.feed.lengths[rows].sum()), rate)
        return loss

    def _tell(self, step: int, loss: float) -> None:
        count, now = self._end, time.monotonic()
        if now - self._told > PROGRESS_SECONDS or step == count:
            self._told = now
            speed = self.meter.speed
            self.worker.progress(
                {"step": step, "steps": count, "tokens_per_second": speed, "loss": loss}
            )

    def _measure(self, step: int) -> None:
        reached = RungPosition(self._marks[step], step, len(self.steps))
        self.meter.rung_due = True
        with self._at_rest() as module:
            ends = self.rungs.measure(reached, module)
        self.meter.rung_due = False
        if self.worker.process_group.agree(ends):
            raise TrialPruned(self.meter.record(**self.fixed))

    def _take(self, step: int) -> None:
        points = self.rungs.points
        due = points.due(step, len(self.steps))
        if not due:
            return
        record = self.meter.record(**self.fixed)
        with self._at_rest() as module:
            for share in due:
                points.take(share, module, record)

    @contextmanager
    def _at_rest(self) -> Iterator[Any]:
        """The whole module for evaluation, whose time does not count as training time. One that is
        stopped leaves a checkpoint, from which it begins again."""
        before = time.perf_counter()
        try:
            try:
                with self.engine.whole() as module:
                    yield module
            finally:
                self.meter.started += time.perf_counter() - before  # speed is of training alone
        except TrialStopped:
            self._save()
            raise

    def _keep(self, step: int) -> None:
        """Write a checkpoint after a rung or a point, or when one is due."""
        kept = self.checkpoints
        asked = step in self._marks or step in self._points
        if kept.on and (asked or self.worker.process_group.agree(kept.due())):
            self._save()
            self._kept = step

    def _save(self) -> None:
        meter = self.meter
        self.checkpoints.save(self.engine, self.worker.process_group, meter.steps, meter.state())
