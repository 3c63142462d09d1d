"""Intermediate checkpoints of a trial as points of their own: the model evaluated after a part of
its training steps (`Recipe.stop_after`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from mtray.evaluation.inference.requests import Output
from mtray.schema import Mix, Training, TrainingRecord
from mtray.training.examples import Example
from mtray.training.loop import CheckpointSchedule, example_lengths
from mtray.training.schedule import Index, trained_rows
from mtray.trial.job import IntermediatePoint, KeepModel
from mtray.trial.phase_timer import PhaseTimer

Evaluate = Callable[[float, Any, TrainingRecord], IntermediatePoint]
BESIDE = ("intermediate", "rungs")  # phases that do not count towards a point's seconds


class IntermediateCheckpoints:
    """The intermediate checkpoints that a trial has evaluated, by share. They are stored in its
    resumable checkpoint (`state`), so that a resumed training (`go_on`) does not evaluate them
    again. `seconds`: the trial's timer."""

    def __init__(self, seconds: PhaseTimer) -> None:
        self._seconds = seconds
        self._points: dict[float, IntermediatePoint] = {}

    def all(self) -> tuple[IntermediatePoint, ...]:
        return tuple(self._points.values())

    def state(self) -> list[dict[str, Any]]:
        """In a form that JSON can store."""
        return [
            {
                **vars(point),
                "outputs": [asdict(output) for output in point.outputs],
                "mix": point.mix.model_dump(mode="json"),
                "training": point.training.model_dump(mode="json"),
            }
            for point in self._points.values()
        ]

    def go_on(self, state: Iterable[dict[str, Any]]) -> None:
        for kept in state:
            self._points[kept["stop_after"]] = IntermediatePoint(
                kept["stop_after"],
                [Output(**output) for output in kept["outputs"]],
                Mix.model_validate(kept["mix"]),
                TrainingRecord.model_validate(kept["training"]),
                kept["seconds"],
            )

    def points(
        self, shares: Sequence[float], evaluate: Evaluate, keep: KeepModel | None
    ) -> CheckpointSchedule:
        """The schedule for the training loop. `evaluate` returns the point with the seconds of its
        own phases; `keep`, if given, is called with its share and module."""

        def take(share: float, module: Any, record: TrainingRecord) -> None:
            before, start = self._seconds.so_far(), time.perf_counter()
            until = {name: spent for name, spent in before.items() if name not in BESIDE}
            try:
                point = evaluate(share, module, record)
                self._points[share] = replace(point, seconds=until | point.seconds)
                if keep is not None:
                    keep(share, module)
            finally:
                self._seconds.beside_training("intermediate", time.perf_counter() - start)

        return CheckpointSchedule(tuple(shares), take, lambda share: share in self._points)


def mix_until(
    mix: Mix, examples: Sequence[Example], training: Training, seed: int, stop_after: float
) -> Mix:
    """The mix with counts of what a training sees of it up to this share of its steps, where that
    is not all of it in whole epochs. `examples` are the mix's, source by source."""
    parts = training.epochs % 1 != 0
    if stop_after == 1 and not parts:
        return mix
    lengths = example_lengths(examples)
    rows = trained_rows(lengths, training, seed, stop_after)
    ends = np.cumsum([share.realised for share in mix.shares])

    def counted(of: Index, weights: Index | None = None) -> list[int]:
        source = np.searchsorted(ends, of, side="right")
        return list(map(int, np.bincount(source, weights, len(ends))))

    found = {"trained": counted(rows)} if parts else {}
    if stop_after < 1 or training.epochs < 1:
        seen = np.unique(rows)
        found |= {"seen": counted(seen), "seen_tokens": counted(seen, lengths[seen])}
    shares = (
        share.model_copy(update={name: values[i] for name, values in found.items()})
        for i, share in enumerate(mix.shares)
    )
    return mix.model_copy(update={"shares": tuple(shares)})
