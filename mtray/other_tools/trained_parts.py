"""The names of what a trial trained and froze, in the model that transformers loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mtray.schema import Recipe
from mtray.training.adapters import linear_names
from mtray.training.freezing import freeze_embeddings, transformer_blocks


@dataclass(frozen=True)
class TrainedParts:
    """Of a model.

    - `blocks`: the name of every transformer block, from the input on.
    - `frozen_blocks`: which of them were frozen, counted from 0.
    - `outside`: trained parameters outside the blocks, such as embeddings and the last norm.
    - `frozen_outside`: frozen ones, such as embeddings.
    - `adapted`: the linear layers with an adapter; empty where all weights are trained.
    """

    blocks: tuple[str, ...] = ()
    frozen_blocks: tuple[int, ...] = ()
    outside: tuple[str, ...] = ()
    frozen_outside: tuple[str, ...] = ()
    adapted: tuple[str, ...] = ()

    @property
    def trained_blocks(self) -> tuple[int, ...]:
        return tuple(i for i in range(len(self.blocks)) if i not in self.frozen_blocks)

    @property
    def freezes(self) -> bool:
        return bool(self.frozen_blocks or self.frozen_outside)

    @property
    def adapted_leaves(self) -> tuple[str, ...]:
        """The last parts of the names of adapted layers, such as q_proj."""
        return tuple(dict.fromkeys(name.rpartition(".")[2] for name in self.adapted))


def trained_parts(model: Any, recipe: Recipe, frozen: Sequence[int]) -> TrainedParts:
    """What a recipe trains of a model, which may be without weights, and is marked. `frozen`: the
    blocks that the trial froze. Raises ConfigError as `transformer_blocks`."""
    adapted = recipe.method != "full"
    stack = transformer_blocks(model) if frozen or adapted or recipe.frozen_layers else []
    known = {id(module): name for name, module in model.named_modules()}
    blocks = tuple(known[id(block)] for block in stack)
    freeze_embeddings(model, recipe.freeze_embeddings)
    for index in frozen:
        stack[index].requires_grad_(False)
    inside = tuple(f"{name}." for name in blocks)
    outside = [
        (n, p) for n, p in model.named_parameters() if not inside or not n.startswith(inside)
    ]
    return TrainedParts(
        blocks,
        tuple(frozen),
        tuple(name for name, weight in outside if weight.requires_grad),
        tuple(name for name, weight in outside if not weight.requires_grad),
        tuple(linear_names(model, tuple(frozen))) if adapted else (),
    )
