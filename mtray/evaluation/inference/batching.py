"""Which requests are computed together, and by which worker of a trial."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mtray.data.tokenization import Ids

if TYPE_CHECKING:
    from mtray.evaluation.inference.requests import Output
    from mtray.schema import Evaluation

EncodedRequest = tuple[
    int, Ids, int
]  # (index in the list, ids, tokens to generate or length of the prompt)

# a generated token takes about as long as this many prompt tokens
GENERATED = 4
# batches are halved until the worker with the most work has at most this multiple of the mean
IMBALANCE = 1.1
HALVINGS = 4


@dataclass(frozen=True)
class Settings:
    """How requests are answered.

    max_tokens: limit of a batch, including padding and room for answers.
    beams: 1 is greedy.
    autocast: a torch dtype or None.
    suppresses_empty_line: no one-line answer begins with a line feed, which would make it empty.
    """

    model: Any
    tokenizer: Any
    max_tokens: int = 8192
    stop_at_newline: bool = True
    beams: int = 1
    autocast: Any = None
    suppresses_empty_line: bool = True


def settings_of(
    evaluation: Evaluation, model: Any, tokenizer: Any, precision: str, share: float = 1.0
) -> Settings:
    """How a trial's model answers; `share` of the usual tokens in a batch."""
    import torch

    return Settings(
        model, tokenizer, max(1, int(evaluation.batch_tokens * share)), beams=evaluation.beams,
        autocast=torch.bfloat16 if precision == "bf16" else None,
    )  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """`compute` returns the outputs by their requests' indices. It regularly calls its argument,
    which may raise TrialStopped. `cost`: about how many tokens it has to process."""

    compute: Callable[[Callable[[], None]], dict[int, Output]]
    requests: int
    cost: int


def by_length(
    jobs: Sequence[EncodedRequest], max_tokens: int, with_answer: bool = False
) -> Iterator[list[EncodedRequest]]:
    """Batches in order of length, longest first, so that what does not fit into memory fails at
    once. A single job may exceed `max_tokens`."""
    batch: list[EncodedRequest] = []
    longest = 0
    # the ids break ties: the same jobs make the same batches in any order
    for job in sorted(jobs, key=lambda j: (-len(j[1]), -j[2], j[1])):
        width = len(job[1]) + (job[2] if with_answer else 0)
        longest = max(longest, width)
        if batch and (len(batch) + 1) * longest > max_tokens:
            yield batch
            batch, longest = [], width
        batch.append(job)
    if batch:
        yield batch


def shares(costs: Sequence[int], world: int) -> list[list[int]]:
    """Indices of the batches of each worker, ascending. The costliest are assigned first, each to
    the worker with the least work so far (Graham 1969, LPT). The same on every worker."""
    found: list[list[int]] = [[] for _ in range(world)]
    loads = [0] * world
    for index in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        least = loads.index(min(loads))
        loads[least] += costs[index]
        found[least].append(index)
    return [sorted(part) for part in found]


def share_of(
    cut: Callable[[int], list[Batch]], max_tokens: int, rank: int, world: int
) -> list[Batch]:
    """The batches that worker `rank` of `world` computes. `cut` returns all batches of at most the
    given number of tokens.

    The batches of a single worker are distributed unchanged if possible, so that several workers
    give the same numbers; if that leaves workers idle, smaller batches are made.
    """
    batches = cut(max_tokens)
    for _ in range(HALVINGS):
        parts = shares([b.cost for b in batches], world)
        loads = [sum(batches[i].cost for i in part) for part in parts]
        if max(loads, default=0) * world <= IMBALANCE * sum(loads):
            break
        max_tokens = max(1, min(max_tokens, max(b.cost for b in batches)) // 2)
        batches = cut(max_tokens)
    return [batches[i] for i in shares([b.cost for b in batches], world)[rank]]
