"""A recipe's parameters as displayed and in tables. A parameter without meaning in a recipe is
empty, not at its default."""

from __future__ import annotations

from collections.abc import Iterable

from mtray.schema import Recipe, default_of

Value = int | float | str
Parameters = dict[str, Value | None]

OF_ADAPTERS = ("lora_rank", "lora_alpha", "lora_dropout")


def parameters(recipe: Recipe) -> Parameters:
    """Every parameter by name; None if it has no meaning: all of the untrained base model's, those
    of an adapter with `method: full`, `freeze_embeddings` with another one, the policy of choosing
    frozen blocks with `frozen_layers: 0`, the number of shots without few-shot examples, and side
    and level of noise with `noise_rate: 0`."""
    values: Parameters = recipe.model_dump(mode="json")
    values["lora_alpha"] = recipe.lora_scale * recipe.lora_rank
    empty = list(values) if not recipe.parallel_size else []
    empty += OF_ADAPTERS if recipe.method == "full" else ["freeze_embeddings"]
    if not recipe.frozen_layers:
        empty.append("freeze_policy")
    if not recipe.few_shot_share:
        empty.append("shots")
    if recipe.noise_rate == 0:
        empty += ["noise_side", "noise_level"]
    return values | dict.fromkeys(empty)


def weights_of(recipes: Iterable[Parameters]) -> list[str]:
    """The weights of sources and directions that some recipe gives, which the others lack."""
    return sorted({n for recipe in recipes for n in recipe if n not in Recipe.model_fields})


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
    said = {n: v for n, v in recipe.items() if v is not None and v != default_of(n)}
    return ", ".join(f"{name} {parameter_text(value)}" for name, value in said.items())
