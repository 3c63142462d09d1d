"""Whether the recipes of a space can be trained at all, from the model's config alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mtray.errors import ConfigError
from mtray.model_paths import resolve_model
from mtray.schema import (
    TRAINING_PARAMETERS,
    Recipe,
    Study,
    check_stop,
    check_training,
    training_of,
)
from mtray.search_space.extreme_recipes import extreme_recipes
from mtray.search_space.parameters import shown
from mtray.training.adapters import checkpoint_gradients, linear_names
from mtray.training.freezing import earlier_model, freeze_embeddings, transformer_blocks
from mtray.training.models import block_count, empty_model
from mtray.training.quantization import check_qlora

if TYPE_CHECKING:
    from mtray.search_space.space import Space


def check_recipes(study: Study, space: Space) -> None:
    """ConfigError naming the first setting that no trial, or not every trial, could train with.
    Takes seconds."""
    check_settings(study, space)
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
    embeddings = [w for w in map(str, space.values("freeze_embeddings")) if w != "none"]
    if most or adapted or embeddings or training.gradient_checkpointing or training.packing == "on":
        model = empty_model(study.model, study.trust_remote_code)
        _check_shape(model, study, most, max(adapted, default=None))
        for which in embeddings:
            freeze_embeddings(model, which)


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


def check_settings(study: Study, space: Space) -> None:
    """ConfigError where settings of `training` that the recipes give contradict each other, the
    study's, or the end of a training before its last step."""
    given = [name for name in TRAINING_PARAMETERS if space.values(name)]
    early = any(float(share) < 1 for share in space.values("stop_after"))
    if early and study.evaluation.intermediate_checkpoints:
        raise ConfigError(
            "the space sets `stop_after`, and the study has `evaluation.intermediate_checkpoints`, "
            "shares of all steps, which not every training takes; drop one of the two"
        )
    if "batch_examples" in given and study.training.batch_tokens is not None:
        raise ConfigError(
            "the space sets `batch_examples`, and the study's batches are counted in tokens "
            f"(`training.batch_tokens` {study.training.batch_tokens}); drop one of the two"
        )
    if "max_length" in given:
        _check_lengths(study, space)
    if not given and not early:
        return
    for recipe in extreme_recipes(space, *given, "stop_after"):
        try:
            _check_setting(study, recipe)
        except ValueError as error:
            raise ConfigError(f"{error}{_whose(recipe, given)}") from None


def _check_lengths(study: Study, space: Space) -> None:
    """ConfigError where a recipe's limit is beyond the study's, or rows were joined up to that."""
    most = study.training.max_length
    if (longest := space.largest("max_length")) > most:
        raise ConfigError(
            f"max_length goes up to {shown(longest)}, and sources are tokenised "
            f"up to the study's `training.max_length` of {most}; raise that or lower the range"
        )
    joined = [source.name for source in study.sources if source.documents]
    if joined and min(map(float, space.values("max_length"))) < most:
        raise ConfigError(
            f"the space sets `max_length` below the study's ({most}), up to which source "
            f"{joined[0]!r} joins the rows of a document, so that most of it would be left out; "
            "drop `documents` there, or `max_length` from the space"
        )


def _check_setting(study: Study, recipe: Recipe) -> None:
    """ValueError where a recipe cannot be trained by its settings."""
    training = training_of(recipe, study.training)
    check_training(training, study.resources)
    for share in study.evaluation.intermediate_checkpoints:
        check_stop(share, "evaluation.intermediate_checkpoints", training)
    if recipe.stop_after < 1:
        check_stop(recipe.stop_after, "stop_after", training)


def _whose(recipe: Recipe, names: Sequence[str]) -> str:
    """Which values of the space are meant, where it gives any."""
    given = ((name, getattr(recipe, name)) for name in names)
    said = [f"{name} {shown(value)}" for name, value in given if value is not None]
    return f" (in a recipe of the space, with {', '.join(said)})" if said else ""


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
