"""Intermediate checkpoints of a trial as points of their own: what the model answers after a part
of its training's steps (`Recipe.stop_after`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from mtray.evaluation.engine import Output
from mtray.job import Intermediate, Keep
from mtray.schema import Mix, Training, TrainingRecord
from mtray.seconds import Seconds
from mtray.training.loop import Points, example_lengths
from mtray.training.losses import Example
from mtray.training.schedule import seen_rows

Evaluate = Callable[[float, Any, TrainingRecord], Intermediate]
BESIDE = ("intermediate", "rungs")  # phases that are no part of what a point took


class Found:
    """The intermediate checkpoints that a trial has evaluated, by share. They are kept in its
    resumable checkpoint (`state`), so that a training that goes on from there (`go_on`) does not
    evaluate them again. `seconds`: the trial's."""

    def __init__(self, seconds: Seconds) -> None:
        self._seconds = seconds
        self._points: dict[float, Intermediate] = {}

    def all(self) -> tuple[Intermediate, ...]:
        return tuple(self._points.values())

    def state(self) -> list[dict[str, Any]]:
        """As JSON has it."""
        return [
            {
                **vars(point), "outputs": [asdict(output) for output in point.outputs],
                "mix": point.mix.model_dump(mode="json"),
                "training": point.training.model_dump(mode="json"),
            }
            for point in self._points.values()
        ]  # fmt: skip

    def go_on(self, state: Iterable[dict[str, Any]]) -> None:
        for kept in state:
            self._points[kept["stop_after"]] = Intermediate(
                kept["stop_after"], [Output(**output) for output in kept["outputs"]],
                Mix.model_validate(kept["mix"]), TrainingRecord.model_validate(kept["training"]),
                kept["seconds"],
            )  # fmt: skip

    def points(self, shares: Sequence[float], evaluate: Evaluate, keep: Keep | None) -> Points:
        """For the training loop. `evaluate` gives the point with the seconds of its own phases;
        `keep` is called with it, where it is given."""

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

        return Points(tuple(shares), take, lambda share: share in self._points)


def seen_mix(
    mix: Mix, examples: Sequence[Example], training: Training, seed: int, stop_after: float
) -> Mix:
    """The mix, whose examples these are source by source, with counts of what a training sees of it
    until this share of its steps."""
    lengths = example_lengths(examples)
    rows = seen_rows(lengths, training, seed, stop_after)
    ends = np.cumsum([share.realised for share in mix.shares])
    source = np.searchsorted(ends, rows, side="right")
    counts = np.bincount(source, minlength=len(ends))
    tokens = np.bincount(source, weights=lengths[rows], minlength=len(ends))
    shares = (
        share.model_copy(update={"seen": int(count), "seen_tokens": int(total)})
        for share, count, total in zip(mix.shares, counts, tokens, strict=True)
    )
    return mix.model_copy(update={"shares": tuple(shares)})
