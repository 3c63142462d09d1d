"""One optimiser step: this worker's micro-batches, their losses, and the sum over the workers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from mtray.runtime import LOGITS_AT_ONCE
from mtray.training.examples import Example, Form
from mtray.training.losses import loss_of, target_tokens
from mtray.training.schedule import Index, plan_step
from mtray.training.worker import ProcessGroup

MICRO_BATCH_TOKENS = 4096  # padding included


# on a GPU: bytes of a logit, its fp32 copy, their gradients and a temporary; the part of the free
# memory that they may take together, beside the activations; exponents of two of the limits
LOGIT_BYTES, LOGITS_SHARE = 16, 0.25
FEWEST, MOST = 24, 32
STATE_BYTES = 12  # of a trainable parameter: gradient and Adam's moments, not yet allocated


def logits_at_once(free: float | None) -> int:
    """How many logits a micro-batch may have: 2^28 on a CPU (`free` None), and on a GPU as many as
    take a quarter of its free bytes at 16 bytes each. Rounded down to a power of two, so that a
    little more or less memory does not change how a training is computed."""
    if free is None:
        return LOGITS_AT_ONCE
    exponent = math.floor(math.log2(max(1.0, free * LOGITS_SHARE / LOGIT_BYTES)))
    return 1 << min(MOST, max(FEWEST, exponent))


def free_on_all(trainable: int, process_group: ProcessGroup) -> int | None:
    """The least free GPU memory of the workers in bytes, rounded down to a power of two, without
    what the `trainable` parameters will take; None where there is no GPU. All workers plan with the
    same value, since each takes part in every micro-batch."""
    free = _free_bytes()
    if free is None:
        return None
    own = math.floor(math.log2(max(1, free - STATE_BYTES * trainable)))
    for exponent in range(FEWEST, 64):
        if process_group.agree(own <= exponent):
            return 1 << exponent
    return 1 << own


def _free_bytes() -> int | None:
    """Of this process's GPU, with what torch keeps of freed memory; None without a GPU."""
    import torch

    if not torch.cuda.is_available():
        return None
    kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return int(torch.cuda.mem_get_info()[0]) + kept


def micro_batch_tokens(
    model: Any, wanted: int | None, share: float = 1.0, free: float | None = None
) -> int:
    """Tokens of a micro-batch: the study's setting, else the default or fewer for a large
    vocabulary; multiplied by `share`. `free`: bytes of GPU memory; None on a CPU."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    usual = wanted or min(MICRO_BATCH_TOKENS, logits_at_once(free) // vocabulary)
    return max(1, int(usual * share))


@dataclass(frozen=True)
class Feed:
    """The data of a worker's steps. `lengths` (examples,) in tokens; `form`: the layout of its
    micro-batches."""

    examples: Sequence[Example]
    lengths: Index
    process_group: ProcessGroup
    max_tokens: int
    form: Form = "padded"

    def step(self, engine: Any, rows: Index, rate: float) -> float:
        """The mean loss over the target tokens of the global batch, the same on every worker."""
        process_group, examples = self.process_group, self.examples
        normaliser = max(1, sum(target_tokens(examples[r], self.form) for r in rows))
        groups = plan_step(
            rows,
            self.lengths,
            (process_group.rank, process_group.world),
            self.max_tokens,
            self.form == "packed",
        )
        nats: Any = 0.0
        with self._attention(engine.module):
            for index, group in enumerate(groups):
                # a worker without rows still takes part in the collectives, with a loss of zero
                # weight
                micro = [examples[r] for r in group] or [examples[rows[0]]]
                loss = loss_of(engine, micro, self.form)
                if len(group):
                    nats = nats + loss.detach()  # stays on the device: reading it would synchronise
                share = float(len(group) > 0) / normaliser
                engine.backward(loss * share, last=index == len(groups) - 1)
        engine.step(rate)
        return process_group.total(float(nats)) / normaliser

    def _attention(self, model: Any) -> Any:
        if self.form != "packed":
            return nullcontext()
        from mtray.training.packing import packed_attention

        return packed_attention(model)
