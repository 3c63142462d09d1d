"""Which part of a model is trained: all of it, some of its blocks, or low-rank adapters (LoRA)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mtray.compat.peft import is_base_weight
from mtray.compat.transformers import checkpoint_activations
from mtray.errors import ConfigError
from mtray.schema import Recipe, Training
from mtray.training.freezing import FrozenBlocks, freeze, transformer_blocks
from mtray.training.trainable_weights import restored_afterwards


@dataclass(frozen=True)
class PreparedModel:
    """A model with its trainable parameters marked."""

    model: Any
    frozen: FrozenBlocks

    @property
    def notes(self) -> dict[str, Any]:
        """Fields of the training record."""
        return {"frozen_blocks": self.frozen.blocks, "block_scores": self.frozen.scores}


def prepare(model: Any, recipe: Recipe, training: Training, seed: int) -> PreparedModel:
    """The model with the recipe's trainable parameters marked; ConfigError where that is
    impossible."""
    frozen = freeze(model, recipe, seed, training.freeze_from)
    if training.gradient_checkpointing:
        checkpoint_gradients(model, training.zero_stage)
    if recipe.method != "full":
        model = with_adapters(model, recipe, frozen.blocks)
    return PreparedModel(model, frozen)


def checkpoint_gradients(model: Any, zero_stage: int) -> None:
    """Gradient checkpointing: keep only the input of every block in the forward pass, and recompute
    the rest in the backward pass.

    ZeRO-3 releases weights in between, which only the older, reentrant implementation supports;
    that one needs inputs that require a gradient.
    """
    if not getattr(model, "supports_gradient_checkpointing", False):
        raise ConfigError(
            f"training.gradient_checkpointing: {type(model).__name__} does not support it; "
            "set it to false"
        )
    reentrant = zero_stage == 3
    checkpoint_activations(model, reentrant)
    if reentrant:
        model.enable_input_require_grads()


def linear_names(model: Any, without: tuple[int, ...] = ()) -> list[str]:
    """Every linear layer of the transformer blocks, except of the blocks `without`."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D  # GPT-2's linear layer

    blocks = transformer_blocks(model)
    inside = {
        id(m) for i, b in enumerate(blocks) if i not in without
        for m in b.modules() if isinstance(m, nn.Linear | Conv1D)
    }  # fmt: skip
    return [name for name, m in model.named_modules() if id(m) in inside]


def with_adapters(model: Any, recipe: Recipe, frozen: tuple[int, ...] = ()) -> Any:
    """The model with an adapter on every linear layer of the blocks that are not frozen; only
    adapters are trained. Their output is scaled by lora_alpha / lora_rank."""
    from peft import LoraConfig, get_peft_model

    names = linear_names(model, frozen)
    if not names:
        raise ConfigError(
            f"method is {recipe.method}, but no linear layer is left to adapt: frozen_layers is "
            f"{recipe.frozen_layers}, as many as the model has"
        )
    if recipe.method == "qlora":
        from peft import prepare_model_for_kbit_training

        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    transposed = not hasattr(model.get_submodule(names[0]), "in_features")  # GPT-2's
    config = LoraConfig(
        r=recipe.lora_rank, lora_alpha=recipe.lora_scale * recipe.lora_rank,
        lora_dropout=recipe.lora_dropout, target_modules=names, bias="none",
        fan_in_fan_out=transposed,
    )  # fmt: skip
    return get_peft_model(model, config)


@contextmanager
def merged(model: Any) -> Iterator[Any]:
    """The model with its adapters' products merged into the weights, which saves computing them for
    every token. Afterwards the weights are restored bit for bit (subtracting the product again
    would leave rounding errors). A model without adapters, or with quantized weights, is left as it
    is."""
    if not hasattr(model, "merge_adapter") or getattr(model, "is_quantized", False):
        yield model
        return
    adapted = [p for name, p in model.named_parameters() if is_base_weight(name)]
    with restored_afterwards(adapted):
        model.merge_adapter()
        try:
            yield model
        finally:
            model.unmerge_adapter()
