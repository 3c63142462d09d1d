"""What the checkpoints of a sweep take, reckoned before anything runs."""

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

# fp32 weights, and AdamW's two moments of each
BYTES = 4 + 8
AT_ONCE = 2  # while one is written, the one before it still stands
GB = 1e9


def checkpoint_bytes(study: Study, space: Space) -> int:
    """Of one checkpoint of the recipe that trains most parameters, a baseline's among them."""
    recipes = extreme_recipes(space, "frozen_layers", "method", "lora_rank")
    recipes += map(space.recipe, baseline_recipes(space, study).values())
    least: dict[int | None, int] = {}  # frozen layers of full fine-tuning (None), of every rank
    for recipe in recipes:
        rank = None if recipe.method == "full" else recipe.lora_rank
        least[rank] = min(recipe.frozen_layers, least.get(rank, recipe.frozen_layers))
    return BYTES * max(trainable_parameter_count(study.model, n, rank) for rank, n in least.items())


def check_disk(study: Study, space: Space, folder: Path, concurrent: int) -> str:
    """What the checkpoints of so many trials at a time take, in a line; empty where none are kept.
    ConfigError when that is more than is free at `folder`, which need not be there yet, or than the
    study allows."""
    if not study.training.checkpoints:
        return ""
    each = checkpoint_bytes(study, space)
    wanted = each * concurrent * AT_ONCE
    there = next(p for p in (folder, *folder.parents) if p.is_dir())
    held = sum(map(kept_bytes, there.glob("trials/*")))  # of trials that go on: replaced
    free = shutil.disk_usage(there).free + held
    text = (
        f"{each / GB:.3g} GB a trial, {concurrent} at a time and twice while one is replaced: up "
        f"to {wanted / GB:.3g} GB"
    )
    limit = study.resources.checkpoint_gb
    mend = (
        "lower `resources.concurrent_trials`, or set `training.checkpoints: false` (a trial that "
        "is lost then begins anew)"
    )
    if limit is not None and wanted > limit * GB:
        allowed = f"`resources.checkpoint_gb` allows {limit:g} GB; raise it"
        raise ConfigError(f"checkpoints take {text}; {allowed}, {mend}")
    room = f"{free / GB:.3g} GB free"
    if wanted > free:
        raise ConfigError(f"checkpoints take {text}, and {there} has {room}; make room, {mend}")
    return f"  checkpoints: {text} of {room}"
