"""Pure arithmetic of a training run: steps, learning rates, and which example goes where."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mtray.schema import Training

Index = npt.NDArray[np.int64]


def total_steps(examples: int, training: Training) -> int:
    """Optimiser steps of a run; the last batch of an epoch may be smaller."""
    steps = math.ceil(examples / training.batch_examples) * training.epochs
    return steps if training.max_steps is None else min(steps, training.max_steps)


def learning_rate_at(step: int, steps: int, peak: float, training: Training) -> float:
    """Learning rate of step 0..steps-1: linear warm-up over a share of the steps, then the schedule
    down to zero.

    The last step is above zero: the schedule reaches zero at step `steps`.
    """
    warm = math.ceil(training.warmup * steps)
    if step < warm:
        return peak * (step + 1) / (warm + 1)
    done = (step - warm) / max(1, steps - warm)
    factor = {
        "constant": 1.0,
        "linear": 1 - done,
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
    }[training.schedule]
    return peak * factor


def batches(examples: int, training: Training, seed: int) -> list[Index]:
    """The rows of every step, a fresh order in each epoch; the same for any number of workers."""
    order = np.random.default_rng(seed)
    out: list[Index] = []
    for _ in range(training.epochs):
        rows = order.permutation(examples)
        out += [
            rows[i : i + training.batch_examples]
            for i in range(0, examples, training.batch_examples)
        ]
    return out[: total_steps(examples, training)]


def micro_batches(rows: Index, lengths: Index, max_tokens: int, waste: float = 0.25) -> list[Index]:
    """Cut one worker's rows of a step into groups of similar length: at most `max_tokens` padded
    tokens each (a single longer example stands alone), and at most the share `waste` of them
    padding, as long as a group has 8 rows or more."""
    rows = rows[np.argsort(lengths[rows], kind="stable")]
    groups: list[Index] = []
    start = 0
    for end in range(1, len(rows) + 1):
        if end < len(rows):
            longest = int(lengths[rows[end]])
            padded = (end + 1 - start) * longest
            tokens = int(lengths[rows[start : end + 1]].sum())
            fits = padded <= max_tokens
            if fits and (end - start < 8 or padded - tokens <= waste * padded):
                continue
        groups.append(rows[start:end])
        start = end
    return groups


def plan_step(
    rows: Index, lengths: Index, world: int, rank: int, max_tokens: int
) -> Sequence[Index]:
    """This worker's micro-batches of a step. Every worker gets equally many, some empty: their
    collectives must match."""
    per_rank = [micro_batches(rows[r::world], lengths, max_tokens) for r in range(world)]
    most = max(map(len, per_rank))
    return per_rank[rank] + [rows[:0]] * (most - len(per_rank[rank]))
