"""Whether the recipes of a space can be trained at all, from the model's config alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mtray.errors import ConfigError
from mtray.schema import Study
from mtray.training.adapters import check_qlora, checkpoint_gradients, linear_names
from mtray.training.freezing import earlier_model, transformer_blocks
from mtray.training.models import block_count, empty_model, resolve_model

if TYPE_CHECKING:
    from mtray.space import Space


def check_recipes(study: Study, space: Space) -> None:
    """ConfigError naming the first thing that no trial, or not every trial, could do. Seconds."""
    blocks, most = block_count(study.model), space.largest("frozen_layers") or 0
    if most > blocks:
        raise ConfigError(
            f"frozen_layers goes up to {most:g}, but {study.model} has {blocks} transformer blocks"
        )
    methods = set(space.possible("method"))
    if "qlora" in methods:
        check_qlora(study.resources.gpus_per_worker)
        if study.training.zero_stage == 3:
            raise ConfigError("method is qlora, and ZeRO-3 cannot part 4-bit weights: zero_stage 2")
    if "most_changed" in space.possible("freeze_policy") and most:
        resolve_model(earlier_model(study.training.freeze_from))
    adapted = methods != {"full"}
    training = study.training
    if most or adapted or training.gradient_checkpointing or training.packing == "on":
        _check_shape(empty_model(study.model, study.trust_remote_code), study, int(most), adapted)


def _check_shape(model: Any, study: Study, frozen: int, adapted: bool) -> None:
    if frozen or adapted:
        blocks = len(transformer_blocks(model))
        if frozen > blocks or (adapted and not linear_names(model, tuple(range(frozen)))):
            raise ConfigError(
                f"frozen_layers goes up to {frozen}, and {study.model} has {blocks} transformer "
                f"blocks{': nothing is left to adapt' if adapted else ''}"
            )
    if study.training.gradient_checkpointing:
        checkpoint_gradients(model, study.training.zero_stage)
    if study.training.packing == "on":
        from mtray.training.packing import check_packing

        check_packing(model)
