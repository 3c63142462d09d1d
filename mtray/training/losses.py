"""The loss of a micro-batch in any layout: nats summed over its target tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtray.data import encoder_decoder
from mtray.data.encoder_decoder import IGNORED
from mtray.schema import Training
from mtray.training.examples import Example, Form, collate
from mtray.unwrapped_model import accepts_argument


def target_tokens(example: Example, form: Form = "padded") -> int:
    """Number of tokens with a loss; the first token of a text is only predicted by a decoder with a
    start token."""
    ids, loss_from = example
    return len(ids) - max(form != "pairs", loss_from)


def summed_loss(engine: Any, micro: Sequence[Example]) -> Any:
    """Negative log-likelihood in nats, summed over the micro-batch's target tokens, with the
    examples as padded rows."""
    import torch

    ids, labels = collate(micro, engine.device)
    width, kept = ids.shape[1], {}
    first = max(0, min(start for _, start in micro) - 1)
    if first and accepts_argument(engine.module, "logits_to_keep"):
        # no logits are needed where every row is still prompt
        kept = {"logits_to_keep": width - first}
    logits = engine.forward(input_ids=ids, use_cache=False, **kept).logits
    wanted = labels[:, width - logits.shape[1] + 1 :]
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(),
        wanted.flatten(),
        ignore_index=IGNORED,
        reduction="sum",
    )


def pair_loss(engine: Any, micro: Sequence[Example]) -> Any:
    """The same for an encoder-decoder model."""
    import torch

    batch = encoder_decoder.pairs(engine.module.config, micro, engine.device)
    logits = encoder_decoder.scores(engine.forward, batch)
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), batch.labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )


def form_for(model: Any, examples: Sequence[Example], training: Training) -> Form:
    """The layout of the model's micro-batches. Raises ConfigError where the study requires packing
    and the model does not support it."""
    from mtray.training.packing import use_packing

    if use_packing(model, examples, training):
        return "packed"
    return "pairs" if encoder_decoder.is_encoder_decoder(model) else "padded"


def loss_of(engine: Any, micro: Sequence[Example], form: Form) -> Any:
    """The summed loss of a micro-batch."""
    if form == "packed":
        from mtray.training.packing import packed_loss

        return packed_loss(engine, micro)
    return pair_loss(engine, micro) if form == "pairs" else summed_loss(engine, micro)
