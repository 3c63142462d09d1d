"""Numbers of parameters and of trainable parameters of a model."""

from __future__ import annotations

import math
from typing import Any

from mtray.training.models import empty_model


def trainable_parameter_count(
    name: str, frozen_layers: int, rank: int | None = None, trust_remote_code: bool = False
) -> int:
    """The number of trainable parameters of a model, from its config alone: in full fine-tuning, or
    of adapters of this rank, which have two factors for every linear layer."""
    from mtray.training.freezing import transformer_blocks

    model = empty_model(name, trust_remote_code)
    if rank is not None:
        from mtray.training.adapters import linear_names

        named, frozen = dict(model.named_modules()), tuple(range(frozen_layers))
        sides = [sum(named[layer].weight.shape) for layer in linear_names(model, frozen)]
        return rank * int(sum(sides))
    for block in transformer_blocks(model)[:frozen_layers] if frozen_layers else ():
        block.requires_grad_(False)
    return count_trainable(model)


def count_trainable(model: Any) -> int:
    """The number of trainable parameters."""
    from mtray.training.trainable_weights import trainable_weights

    return sum(p.numel() for p in trainable_weights(model).values())


def parameter_count(model: Any) -> int:
    """The number of parameters of a model; a byte of 4-bit weights holds two."""
    states = ((p, getattr(p, "quant_state", None)) for p in model.parameters())
    return sum(math.prod(state.shape) if state else p.numel() for p, state in states)
