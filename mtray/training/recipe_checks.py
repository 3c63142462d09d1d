"""Whether the recipes of a space can be trained at all, from the model's config alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mtray.errors import ConfigError
from mtray.model_paths import resolve_model
from mtray.schema import Recipe, Study, check_stop
from mtray.search_space.extreme_recipes import extreme_recipes
from mtray.training.adapters import checkpoint_gradients, linear_names
from mtray.training.freezing import earlier_model, transformer_blocks
from mtray.training.models import block_count, empty_model
from mtray.training.quantization import check_qlora

if TYPE_CHECKING:
    from mtray.search_space.space import Space


def check_recipes(study: Study, space: Space) -> None:
    """ConfigError naming the first setting that no trial, or not every trial, could train with.
    Takes seconds."""
    check_stops(study, space)
    recipes = extreme_recipes(space, "frozen_layers", "freeze_policy", "method")
    blocks, most = (
        block_count(study.model, study.trust_remote_code),
        max(r.frozen_layers for r in recipes),
    )
    if most > blocks:
        raise ConfigError(
            f"frozen_layers goes up to {most}, but {study.model} has {blocks} transformer blocks"
        )
    if any(r.method == "qlora" for r in recipes):
        check_qlora(study.resources.gpus_per_worker)
        if study.training.zero_stage == 3:
            raise ConfigError(
                "method is qlora, and ZeRO-3 cannot shard 4-bit weights: set zero_stage 2"
            )
    if any(r.freeze_policy == "most_changed" and r.frozen_layers for r in recipes):
        resolve_model(earlier_model(study.training.freeze_from))
    adapted = [r.frozen_layers for r in recipes if r.method != "full"]
    training = study.training
    if most or adapted or training.gradient_checkpointing or training.packing == "on":
        model = empty_model(study.model, study.trust_remote_code)
        _check_shape(model, study, most, max(adapted, default=None))


def adapter_notes(space: Space) -> list[str]:
    """A note where every `lora_alpha` is below every rank: it may be meant as a multiple of the
    rank, which it was in earlier versions."""
    adapted = any(method != "full" for method in space.values("method"))
    ranks = list(space.values("lora_rank")) or [Recipe.model_fields["lora_rank"].default]
    most = space.largest("lora_alpha")
    if not adapted or most is None or most >= min(ranks):
        return []
    return [
        f"lora_alpha is at most {most:g} and lora_rank at least {min(ranks):g}, so adapters are "
        f"scaled by at most {most / min(ranks):.3g} (lora_alpha / lora_rank, as in peft); if "
        f"{most:g} times is meant, set lora_alpha to {most * min(ranks):g} for that rank"
    ]


def check_stops(study: Study, space: Space) -> None:
    """ConfigError where a recipe ends before its last step and must not."""
    shares = [share for share in map(float, space.values("stop_after")) if share < 1]
    if not shares:
        return
    if study.evaluation.intermediate_checkpoints:
        raise ConfigError(
            "the space sets `stop_after`, and the study has `evaluation.intermediate_checkpoints`, "
            "shares of all steps, which not every training takes; drop one of the two"
        )
    try:
        check_stop(min(shares), "stop_after", study.training)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _check_shape(model: Any, study: Study, frozen: int, adapted: int | None) -> None:
    """`adapted`: the most blocks that are frozen with adapters; None without adapters."""
    if frozen or adapted is not None:
        blocks = len(transformer_blocks(model))
        nothing_left = adapted is not None and not linear_names(model, tuple(range(adapted)))
        if frozen > blocks or nothing_left:
            raise ConfigError(
                f"frozen_layers goes up to {frozen}, and {study.model} has {blocks} transformer "
                f"blocks{': nothing is left to adapt' if nothing_left else ''}"
            )
    if study.training.gradient_checkpointing:
        checkpoint_gradients(model, study.training.zero_stage)
    if study.training.packing == "on":
        from mtray.training.packing import check_packing

        check_packing(model)
