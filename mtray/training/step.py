"""One optimiser step: this worker's micro-batches, their losses, and the sum over the workers."""

from __future__ import annotations

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


def micro_batch_tokens(model: Any, wanted: int | None, share: float = 1.0) -> int:
    """Tokens of a micro-batch: the study's setting, else the default or fewer for a large
    vocabulary; multiplied by `share`."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    usual = wanted or min(MICRO_BATCH_TOKENS, LOGITS_AT_ONCE // vocabulary)
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
