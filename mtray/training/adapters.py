"""What of a model is trained: all of it, some of its blocks, or low-rank adapters (LoRA) beside
them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mtray.compat.peft import is_base_weight
from mtray.errors import ConfigError
from mtray.schema import Recipe, Training
from mtray.training.freezing import FrozenBlocks, freeze, transformer_blocks
from mtray.training.trainable_weights import restored_afterwards


@dataclass(frozen=True)
class PreparedModel:
    """A model in which only that is trained which is to be."""

    model: Any
    frozen: FrozenBlocks

    @property
    def notes(self) -> dict[str, Any]:
        """For the training's record."""
        return {"frozen_blocks": self.frozen.blocks, "block_scores": self.frozen.scores}


def prepare(model: Any, recipe: Recipe, training: Training, seed: int) -> PreparedModel:
    """The model as the recipe trains it; ConfigError where that cannot be."""
    frozen = freeze(model, recipe, seed, training.freeze_from)
    if training.gradient_checkpointing:
        checkpoint_gradients(model, training.zero_stage)
    if recipe.method != "full":
        model = with_adapters(model, recipe, frozen.blocks)
    return PreparedModel(model, frozen)


def checkpoint_gradients(model: Any, zero_stage: int) -> None:
    """Keep only every block's input of the forward pass, and compute the rest again in the backward
    pass.

    ZeRO-3 releases weights in between, which only the older, reentrant form bears; that one needs
    inputs that have a gradient."""
    if not getattr(model, "supports_gradient_checkpointing", False):
        raise ConfigError(
            f"training.gradient_checkpointing: {type(model).__name__} cannot; set it to false"
        )
    reentrant = zero_stage == 3
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    if reentrant:
        model.enable_input_require_grads()


def linear_names(model: Any, without: tuple[int, ...] = ()) -> list[str]:
    """Every linear layer of the transformer blocks, but of those `without`."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D  # GPT-2's linear layer

    blocks = transformer_blocks(model)
    inside = {
        id(m) for i, b in enumerate(blocks) if i not in without
        for m in b.modules() if isinstance(m, nn.Linear | Conv1D)
    }  # fmt: skip
    return [name for name, m in model.named_modules() if id(m) in inside]


def with_adapters(model: Any, recipe: Recipe, frozen: tuple[int, ...] = ()) -> Any:
    """The model with an adapter beside every linear layer of the blocks that are not frozen; only
    adapters are trained. What they add is scaled by `lora_alpha`, which peft calls alpha / rank."""
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
        r=recipe.lora_rank, lora_alpha=recipe.lora_alpha * recipe.lora_rank,
        lora_dropout=recipe.lora_dropout, target_modules=names, bias="none",
        fan_in_fan_out=transposed,
    )  # fmt: skip
    return get_peft_model(model, config)


@contextmanager
def merged(model: Any) -> Iterator[Any]:
    """The model with its adapters' products added to the weights, which saves computing them for
    every token; after that the weights are what they were, bit for bit (taking a product out again
    would leave rounding). A model without adapters, or with
    quantized weights, is left as it is."""
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
