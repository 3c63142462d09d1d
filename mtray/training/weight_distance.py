"""The distance of the trained weights from their initial values: relative for each transformer
block, the embeddings, the head and the rest (the last norm); and its mean over tensors (MPD to the
base model, `mtray.analysis.dataset_similarity`). One tensor at a time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from math import sqrt
from typing import TYPE_CHECKING, Any

from mtray.compat.peft import (
    adapted_layers,
    added_by_adapters,
    base_weight,
    is_adapter_weight,
)
from mtray.errors import ConfigError
from mtray.training.freezing import transformer_blocks

if TYPE_CHECKING:
    import torch

PREFIX = "block "  # before a block's index, counted from the input


def weight_distances(
    module: Any, origin: Mapping[str, torch.Tensor]
) -> tuple[dict[str, float], float]:
    """|w - w0|| / ||w0|| over all trained weights, by part of the model, and the mean of ||w - w0||
    over tensors. `origin` holds w0 by name. An adapter counts as the difference it adds to the
    weights it adapts."""
    parts = part_names(module)
    squares: dict[str, tuple[float, float]] = {}
    norms = []
    for name, gone, begun in _distances(module, origin):
        norms.append(gone)
        part = next((p for prefix, p in parts.items() if f"{name}.".startswith(prefix)), "rest")
        before = squares.get(part, (0.0, 0.0))
        squares[part] = (before[0] + gone**2, before[1] + begun**2)
    found = {part: sqrt(gone / begun) if begun else 0.0 for part, (gone, begun) in squares.items()}
    ordered = {part: found[part] for part in [*parts.values(), "rest"] if part in found}
    return ordered, sum(norms) / len(norms) if norms else 0.0


def part_names(module: Any) -> dict[str, str]:
    """The part of the model (block, embeddings, head) of each prefix of parameter names."""
    names = {id(part): name for name, part in module.named_modules()}
    found = {}
    with suppress(ConfigError):  # a model without a stack of blocks
        for index, block in enumerate(transformer_blocks(module)):
            found[f"{names[id(block)]}."] = f"{PREFIX}{index}"
    for kind, get in (("embeddings", "get_input_embeddings"), ("head", "get_output_embeddings")):
        part = getattr(module, get, lambda: None)()
        if part is not None and id(part) in names:
            found[f"{names[id(part)]}."] = kind
    return found


def _distances(module: Any, origin: Mapping[str, torch.Tensor]) -> list[tuple[str, float, float]]:
    """Name, ||w - w0|| and ||w0|| of every trained tensor."""
    found = []
    for name, weight in module.named_parameters():
        if name in origin and not is_adapter_weight(name):
            begun = origin[name]
            gone = float((weight.detach().to("cpu") - begun).norm())
            found.append((name, gone, float(begun.norm())))
    for name, layer in adapted_layers(module):
        for added in added_by_adapters(layer):
            found.append((name, float(added.norm()), float(base_weight(layer).float().norm())))
    return found
