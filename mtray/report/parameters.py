"""A recipe's parameters as displayed and in tables. A parameter without meaning in a recipe is
empty, not at its default."""

from __future__ import annotations

from mtray.schema import Recipe

Value = int | float | str
Parameters = dict[str, Value | None]

OF_ADAPTERS = ("lora_rank", "lora_alpha", "lora_dropout")


def parameters(recipe: Recipe) -> Parameters:
    """Every parameter by name; None if it has no meaning: all of the untrained base model's, those
    of an adapter with `method: full`, and the policy of choosing frozen blocks with `frozen_layers:
    0`."""
    values: Parameters = recipe.model_dump(mode="json")
    values["lora_alpha"] = recipe.lora_scale * recipe.lora_rank
    empty = list(values) if not recipe.parallel_size else []
    if recipe.method == "full":
        empty += OF_ADAPTERS
    if not recipe.frozen_layers:
        empty.append("freeze_policy")
    return values | dict.fromkeys(empty)


def parameter_text(value: Value | None) -> str:
    """Three significant digits, with thousands separators; `-` if it has no meaning."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)


def recipe_text(recipe: Parameters) -> str:
    """The parameters of a recipe that differ from their defaults, such as `parallel_size 4096,
    mono_ratio 1`."""
    defaults = {name: field.default for name, field in Recipe.model_fields.items()}
    said = {n: v for n, v in recipe.items() if v is not None and v != defaults[n]}
    return ", ".join(f"{name} {parameter_text(value)}" for name, value in said.items())
