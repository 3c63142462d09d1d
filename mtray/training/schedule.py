"""Pure arithmetic of a training: steps, learning rates, and the examples of each batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from mtray.schema import Training

Index = npt.NDArray[np.int64]


def learning_rate_at(step: int, steps: int, peak: float, training: Training) -> float:
    """Learning rate of step 0..steps-1: linear warm-up over a share of the steps, then the schedule
    down to zero.

    The last step's rate is above zero: the schedule reaches zero at step `steps`.
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


def batches(lengths: Index, training: Training, seed: int) -> list[Index]:
    """The rows of every step, reshuffled in each epoch, independent of the number of workers. The
    last batch of an epoch may be smaller. `lengths` (examples,) in tokens."""
    out: list[Index] = []
    for rows in epoch_rows(len(lengths), training.epochs, seed):
        if training.batch_tokens is None:
            size = training.batch_examples
            out += [rows[i : i + size] for i in range(0, len(rows), size)]
        else:
            out += filled(rows, lengths, training.batch_tokens)
    return out[: training.max_steps]


def epoch_rows(count: int, epochs: float, seed: int) -> Iterator[Index]:
    """The rows of every epoch in random order. The last one may be a part of an epoch: the first
    rows of the order that the whole epoch would have, rounded to a whole number of them, and at
    least one in all. So a training of 1.5 epochs sees what one of two epochs sees first."""
    order = np.random.default_rng(seed)
    whole, part = divmod(epochs, 1)
    for _ in range(int(whole)):
        yield order.permutation(count)
    rest = math.floor(part * count + 0.5)
    if not whole:
        rest = max(1, rest)
    if rest:
        yield order.permutation(count)[:rest]


def step_after(share: float, steps: int) -> int:
    """The first step, counted from 1, after which this share of the steps is done."""
    return math.ceil(share * steps - 1e-9)


def trained_rows(lengths: Index, training: Training, seed: int, stop_after: float) -> Index:
    """The rows of all steps up to `stop_after`, in their order, shape (rows,); a row of two epochs
    is there twice."""
    steps = batches(lengths, training, seed)
    done = steps[: step_after(stop_after, len(steps))]
    return np.asarray(np.concatenate([lengths[:0], *done]), dtype=np.int64)


def filled(rows: Index, lengths: Index, max_tokens: int) -> list[Index]:
    """Rows in their order, cut into groups of at most `max_tokens` tokens in total; a longer
    example is a group by itself."""
    groups: list[Index] = []
    start = tokens = 0
    for end, length in enumerate(lengths[rows].tolist()):
        if end > start and tokens + length > max_tokens:
            groups.append(rows[start:end])
            start, tokens = end, 0
        tokens += length
    return [*groups, rows[start:]] if len(rows) else []


def micro_batches(rows: Index, lengths: Index, max_tokens: int, waste: float = 0.25) -> list[Index]:
    """Cut one worker's rows of a step into groups of similar length: at most `max_tokens` tokens
    each with padding (a longer example is a group by itself), and at most the share `waste` of
    padding in groups of 8 rows or more."""
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


def packs(rows: Index, lengths: Index, max_tokens: int) -> list[Index]:
    """Cut one worker's rows of a step into groups of at most `max_tokens` tokens in total, shortest
    first; a longer example is a group by itself."""
    return filled(rows[np.argsort(lengths[rows], kind="stable")], lengths, max_tokens)


def plan_step(
    rows: Index, lengths: Index, worker: tuple[int, int], max_tokens: int, packed: bool = False
) -> Sequence[Index]:
    """The micro-batches of a step that `worker` (rank, number of workers) computes. Every worker
    gets equally many, some of them empty, since their collectives must match."""
    cut, (rank, world) = packs if packed else micro_batches, worker
    per_rank = [cut(rows[r::world], lengths, max_tokens) for r in range(world)]
    most = max(map(len, per_rank))
    return per_rank[rank] + [rows[:0]] * (most - len(per_rank[rank]))
