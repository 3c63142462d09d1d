"""Fine-tune a model on the examples of one mix. Knows neither Ray nor the recipe's mixing
parameters."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mtray.errors import LossNotFinite, TrialPruned, TrialStopped
from mtray.schema import Training, TrainingRecord
from mtray.training.checkpoints import Checkpoints
from mtray.training.losses import Example, form_for
from mtray.training.schedule import batches, learning_rate_at
from mtray.training.step import Feed, micro_batch_tokens

Progress = Callable[[dict[str, Any]], None]


def _alone(value: Any) -> list[Any]:
    return [value]


@dataclass(frozen=True)
class Place:
    """This worker among its trial's; `agree` is True on every worker when it is called with True on
    any, `total` is the sum of what all workers call it with, `gather` the list of it on rank 0
    (`any_worker`, `sum_over_workers` and `gather_from_workers` where there are several)."""

    rank: int = 0
    world: int = 1
    agree: Callable[[bool], bool] = bool
    total: Callable[[float], float] = float
    gather: Callable[[Any], list[Any]] = _alone


class Reached(NamedTuple):
    """A rung's index, and the step of `steps` that it was reached after."""

    rung: int
    step: int
    steps: int


def rung_steps(shares: Sequence[float], steps: int) -> dict[int, int]:
    """The step after which each rung is measured -> its index. A rung that would be at the last
    step is left out; of several at one step, the last counts."""
    found = {math.ceil(share * steps - 1e-9): index for index, share in enumerate(shares)}
    return {step: index for step, index in found.items() if step < steps}


@dataclass(frozen=True)
class Rungs:
    """Shares of a trial's steps, and what is done there: `measure`, with the module, on every
    worker, says whether the trial ends. It may draw no random number and leaves the module as it
    was."""

    shares: tuple[float, ...] = ()
    measure: Callable[[Reached, Any], bool] = lambda reached, module: False


@dataclass
class _Meter:
    """Sums of what was seen since the start and since the last entry of the loss curve."""

    started: float = field(default_factory=time.perf_counter)
    steps: int = 0
    tokens: int = 0
    accumulated_rate: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    resumed: list[int] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps; `seconds` instead of when it started."""
        found = {name: value for name, value in vars(self).items() if name != "started"}
        return {**found, "seconds": time.perf_counter() - self.started}

    @classmethod
    def again(cls, state: dict[str, Any] | None) -> _Meter:
        """As it was at a checkpoint; a new one without."""
        if state is None:
            return cls()
        started = time.perf_counter() - state["seconds"]
        found = cls(started, **{name: v for name, v in state.items() if name != "seconds"})
        found.curve = [(step, loss) for step, loss in found.curve]
        found.resumed.append(found.steps)
        return found

    def add(self, step: int, steps: int, loss: float, tokens: int, rate: float) -> None:
        self.steps = step
        self.tokens += tokens
        self.accumulated_rate += rate
        self.losses.append(loss)
        # about 50 entries a trial, the last step always
        if step % max(1, steps // 50) == 0 or step == steps:
            self.curve.append((step, sum(self.losses) / len(self.losses)))
            self.losses.clear()

    def record(self, **fixed: Any) -> TrainingRecord:
        return TrainingRecord(
            steps=self.steps, tokens=self.tokens, tokens_per_second=self.speed,
            accumulated_learning_rate=self.accumulated_rate,
            tokens_per_parameter=self.tokens / max(1, fixed["trainable_parameters"]),
            loss=tuple(self.curve), resumed=tuple(self.resumed), **fixed,
        )  # fmt: skip

    @property
    def speed(self) -> float:
        return self.tokens / max(1e-9, time.perf_counter() - self.started)


def example_lengths(examples: Sequence[Example]) -> npt.NDArray[np.int64]:
    """Tokens of every example, shape (examples,); those of a mix know theirs without being read."""
    known = getattr(examples, "lengths", None)
    return known() if known else np.array([len(ids) for ids, _ in examples])


def any_worker(flag: bool) -> bool:
    """Whether any worker of the process group says so. All must leave the loop at the same step, or
    those that stay wait for the others for ever."""
    return sum_over_workers(float(flag)) > 0


def sum_over_workers(value: float) -> float:
    """The sum over the workers of the process group; NaN when any worker has NaN."""
    import torch

    values = torch.tensor(
        [value], dtype=torch.float64, device="cuda" if torch.cuda.is_available() else "cpu"
    )
    torch.distributed.all_reduce(values)
    return float(values.item())


def gather_from_workers(value: Any) -> list[Any]:
    """The values of all workers of the process group, by rank, on rank 0; nothing elsewhere."""
    import torch

    group = torch.distributed
    found: list[Any] = [None] * group.get_world_size() if group.get_rank() == 0 else []
    group.gather_object(value, found or None)
    return found


def place_in_group(rank: int, world: int) -> Place:
    """A worker of the process group; one alone needs none."""
    if world == 1:
        return Place()
    return Place(rank, world, any_worker, sum_over_workers, gather_from_workers)


def finetune(
    build: Callable[[Any], Any],
    model: Any,
    examples: Sequence[Example],
    training: Training,
    *,
    precision: str,
    learning_rate: float,
    seed: int,
    place: Place = Place(),
    rungs: Rungs = Rungs(),
    checkpoints: Checkpoints | None = None,
    batch_share: float = 1.0,
    notes: Mapping[str, Any] = MappingProxyType({}),
    progress: Progress = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[Any, TrainingRecord]:
    """Train `model` on `examples` and return the engine that holds it and what was done.

    `build(model)` makes the engine of it; what does not require a gradient does not move. The loss
    of a step is the mean over the target tokens of the global batch, whatever the number of workers
    and micro-batches. With `checkpoints` it goes on after the step of the last one, and keeps one
    after every rung, by their cadence and when it is stopped.

    `batch_share`: of the usual tokens in a micro-batch. `notes`: further fields of the record.
    Raises LossNotFinite, TrialStopped when `should_stop` says so, and TrialPruned with the record
    so far when a rung does.
    """
    from mtray.training.models import moving

    total = sum(p.numel() for p in model.parameters())
    trainable = moving(model)
    form = form_for(model, examples, training)
    fixed: dict[str, Any] = {**notes, "precision": precision, "packed": form == "packed"}
    fixed |= {"trainable_parameters": trainable, "total_parameters": total}
    most = micro_batch_tokens(model, training.micro_batch_tokens, batch_share)
    engine = build(model)
    engine.module.train()
    lengths = example_lengths(examples)
    feed = Feed(examples, lengths, place, most, form)
    steps = batches(lengths, training, seed)
    checkpoints = checkpoints or Checkpoints()
    meter = _Meter.again(checkpoints.resume(engine, place))
    told, marks, kept = 0.0, rung_steps(rungs.shares, len(steps)), meter.steps
    for step, rows in enumerate(steps[kept:], kept + 1):
        if place.agree(should_stop()):
            if meter.steps > kept:
                checkpoints.save(engine, place, meter.steps, meter.state())
            raise TrialStopped
        rate = learning_rate_at(step - 1, len(steps), learning_rate, training)
        loss = feed.step(engine, rows, rate)
        if not math.isfinite(loss):
            raise LossNotFinite(f"the training loss is {loss} at step {step} of {len(steps)}")
        meter.add(step, len(steps), loss, int(lengths[rows].sum()), rate)
        if time.monotonic() - told > 0.5 or step == len(steps):
            told = time.monotonic()
            progress(
                {"step": step, "steps": len(steps), "tokens_per_second": meter.speed, "loss": loss}
            )
        if step in marks:
            before = time.perf_counter()
            with engine.whole() as module:
                ends = rungs.measure(Reached(marks[step], step, len(steps)), module)
            meter.started += time.perf_counter() - before  # the speed is that of training
            if place.agree(ends):
                raise TrialPruned(meter.record(**fixed))
        if checkpoints.on and (step in marks or place.agree(checkpoints.due())):
            checkpoints.save(engine, place, step, meter.state())
            kept = step
    return engine, meter.record(**fixed)
