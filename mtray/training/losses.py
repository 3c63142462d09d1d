"""The loss of a micro-batch: nats summed over its target tokens, however it is laid out."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Example = tuple[npt.NDArray[np.int32], int]
IGNORED = -100


def collate(examples: Sequence[Example], device: Any) -> tuple[Any, Any]:
    """Right-padded token ids and labels, shape (examples, longest); labels are `IGNORED` on prompts
    and pads.

    No attention mask is needed: a causal model never looks from a token at the pads behind it.
    """
    import torch

    longest = max(len(ids) for ids, _ in examples)
    ids = np.zeros((len(examples), longest), np.int64)
    labels = np.full((len(examples), longest), IGNORED, np.int64)
    for row, (tokens, loss_from) in enumerate(examples):
        ids[row, : len(tokens)] = tokens
        labels[row, loss_from : len(tokens)] = tokens[loss_from:]
    return torch.from_numpy(ids).to(device), torch.from_numpy(labels).to(device)


def target_tokens(example: Example) -> int:
    """Tokens that loss is taken on; the first token of a text is never predicted."""
    ids, loss_from = example
    return len(ids) - max(1, loss_from)


def takes(model: Any, argument: str) -> bool:
    """Whether the model's `forward` has such an argument; an adapter around it hides its names."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return argument in inspect.signature(inner.forward).parameters


def summed_loss(engine: Any, micro: Sequence[Example]) -> Any:
    """Negative log-likelihood in nats, summed over the micro-batch's target tokens; the examples
    stand in padded rows."""
    import torch

    ids, labels = collate(micro, engine.device)
    width, kept = ids.shape[1], {}
    first = max(0, min(start for _, start in micro) - 1)
    if first and takes(engine.module, "logits_to_keep"):
        # the scores of what is a prompt in every row are not wanted
        kept = {"logits_to_keep": width - first}
    logits = engine.forward(input_ids=ids, use_cache=False, **kept).logits
    wanted = labels[:, width - logits.shape[1] + 1 :]
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), wanted.flatten(),
        ignore_index=IGNORED, reduction="sum",
    )  # fmt: skip


def loss_of(engine: Any, micro: Sequence[Example], packed: bool) -> Any:
    """The summed loss of a micro-batch, in whichever form the model takes it."""
    if packed:
        from mtray.training.packing import packed_loss

        return packed_loss(engine, micro)
    return summed_loss(engine, micro)
