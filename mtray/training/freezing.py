"""Which weights move."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtray.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn


def transformer_blocks(model: nn.Module) -> nn.ModuleList:
    """The model's stack of transformer blocks: its longest list of modules of one class that is not
    within another (as the experts of a block are).

    Raises ConfigError when there is none (then `frozen_layers` must be 0).
    """
    from torch import nn

    stacks = {
        name: m
        for name, m in model.named_modules()
        if isinstance(m, nn.ModuleList) and len({type(block) for block in m}) == 1
    }
    outermost = [
        m for name, m in stacks.items() if not any(name.startswith(f"{other}.") for other in stacks)
    ]
    if not outermost:
        raise ConfigError(f"{type(model).__name__}: no stack of transformer blocks found to freeze")
    return max(outermost, key=len)


def freeze_bottom(model: nn.Module, layers: int) -> int:
    """Freeze the `layers` blocks nearest the input and return how many parameters still move.

    Embeddings, norms and head always move. Raises ConfigError when the model has fewer blocks.
    """
    if layers:
        blocks = transformer_blocks(model)
        if layers > len(blocks):
            raise ConfigError(
                f"frozen_layers is {layers}, but the model has {len(blocks)} transformer blocks"
            )
        for block in blocks[:layers]:
            block.requires_grad_(False)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
