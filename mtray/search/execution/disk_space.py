"""Disk space that the checkpoints of a sweep need, estimated before anything runs."""

from __future__ import annotations

import shutil
from pathlib import Path

from mtray.errors import ConfigError
from mtray.schema import Study
from mtray.search.strategy.baseline_recipes import baseline_recipes
from mtray.search_space.extreme_recipes import extreme_recipes
from mtray.search_space.space import Space
from mtray.training.checkpoints import kept_bytes
from mtray.training.parameter_counts import trainable_parameter_count

# bytes per parameter: fp32 weights and AdamW's two moments
BYTES = 4 + 8
AT_ONCE = 2  # the previous checkpoint is kept until the new one is written
GB = 1e9


def checkpoint_bytes(study: Study, space: Space) -> int:
    """Bytes of one checkpoint of the recipe with most trainable parameters, baselines included."""
    recipes = extreme_recipes(space, "frozen_layers", "method", "lora_rank")
    recipes += map(space.recipe, baseline_recipes(space, study).values())
    least: dict[int | None, int] = {}  # fewest frozen layers by rank; None: full fine-tuning
    for recipe in recipes:
        rank = None if recipe.method == "full" else recipe.lora_rank
        least[rank] = min(recipe.frozen_layers, least.get(rank, recipe.frozen_layers))
    return BYTES * max(
        trainable_parameter_count(study.model, frozen, rank, study.trust_remote_code)
        for rank, frozen in least.items()
    )


def check_disk(study: Study, space: Space, folder: Path, concurrent: int) -> str:
    """The disk space that checkpoints of so many concurrent trials need, as a line; empty if none
    are kept. Raises ConfigError if that exceeds the space free at `folder`, which need not exist
    yet, or the study's limit."""
    if not study.training.checkpoints:
        return ""
    each = checkpoint_bytes(study, space)
    wanted = each * concurrent * AT_ONCE
    there = next(p for p in (folder, *folder.parents) if p.is_dir())
    held = sum(map(kept_bytes, there.glob("trials/*")))  # of resumed trials: these are overwritten
    free = shutil.disk_usage(there).free + held
    text = (
        f"{each / GB:.3g} GB per trial, {concurrent} at a time and twice while one is replaced: up "
        f"to {wanted / GB:.3g} GB"
    )
    limit = study.resources.checkpoint_gb
    mend = (
        "lower `resources.concurrent_trials`, or set `training.checkpoints: false` (a trial that "
        "is lost then starts from the beginning)"
    )
    if limit is not None and wanted > limit * GB:
        allowed = f"`resources.checkpoint_gb` allows {limit:g} GB; raise it"
        raise ConfigError(f"checkpoints take {text}; {allowed}, {mend}")
    room = f"{free / GB:.3g} GB free"
    if wanted > free:
        raise ConfigError(f"checkpoints take {text}, and {there} has {room}; make room, {mend}")
    return f"  checkpoints: {text} of {room}"
