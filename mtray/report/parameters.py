"""A recipe's parameters as people and tables see them: one that has no meaning in a recipe is empty
there, and not at its default."""

from __future__ import annotations

from mtray.schema import Recipe

Value = int | float | str
Parameters = dict[str, Value | None]

OF_ADAPTERS = ("lora_rank", "lora_alpha", "lora_dropout")


def parameters(recipe: Recipe) -> Parameters:
    """Every parameter by name; None where it has no meaning: all of the untouched base model's,
    which was not trained, those of an adapter with `method: full`, and the policy by which no block
    was chosen with `frozen_layers: 0`."""
    values: Parameters = recipe.model_dump(mode="json")
    empty = list(values) if not recipe.parallel_size else []
    if recipe.method == "full":
        empty += OF_ADAPTERS
    if not recipe.frozen_layers:
        empty.append("freeze_policy")
    return values | dict.fromkeys(empty)
