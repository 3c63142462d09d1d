"""`check`: everything a sweep does before it starts, and nothing after."""

from __future__ import annotations

import os
from pathlib import Path

from mtray.schema import Study
from mtray.search.disk import check_disk
from mtray.space import Space
from mtray.sweep import arguments, checked, load, plan_lines
from mtray.training.models import block_count


def check(study_path: Path | None, space_path: Path | None, model: str | None) -> int:
    """Print what a study holds; 0 when it can be run. Raises MtrayError naming what is wrong."""
    given = {"--study": study_path, "--space": space_path, "--model": model}
    options = [part for key, value in given.items() if value for part in (key, str(value))]
    study, space = load(arguments(options))
    prepared = checked(study, space)
    print("\n".join([*plan_lines(prepared), *model_lines(study), *disk_lines(study, space)]))
    print("everything a sweep needs is in order")
    return 0


def disk_lines(study: Study, space: Space) -> list[str]:
    """What checkpoints take where runs are kept, with as many trials at a time as fit here. Raises
    ConfigError when they do not fit; the sweep checks again with its cluster."""
    wanted = study.resources
    here = int((os.cpu_count() or 1) // (wanted.workers * wanted.cpus_per_worker))
    concurrent = wanted.concurrent_trials or max(1, here)
    line = check_disk(study, space, Path("runs").absolute(), concurrent)
    return [line] if line else []


def model_lines(study: Study) -> list[str]:
    return [
        f"  model: {study.model}, {block_count(study.model)} transformer blocks",
        f"  metric: {study.evaluation.comet} loads",
        *(f"  metric {name}: {m} loads" for name, m in study.evaluation.more_comet.items()),
    ]
