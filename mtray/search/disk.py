"""What the checkpoints of a sweep take, reckoned before anything runs."""

from __future__ import annotations

import shutil
from pathlib import Path

from mtray.errors import ConfigError
from mtray.schema import Study
from mtray.space import Space
from mtray.training.checkpoints import kept_bytes
from mtray.training.models import moved_parameters

# fp32 weights, and AdamW's two moments of each
BYTES = 4 + 8
AT_ONCE = 2  # while one is written, the one before it still stands
GB = 1e9


def checkpoint_bytes(study: Study, space: Space) -> int:
    """Of one checkpoint of the recipe that moves most: with adapters alone those of the highest
    rank."""
    frozen, rank = int(space.smallest("frozen_layers") or 0), None
    if "full" not in space.possible("method"):
        rank = int(max(space.possible("lora_rank")))
    return BYTES * moved_parameters(study.model, frozen, rank)


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
