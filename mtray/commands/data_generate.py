"""`data generate`: generate the replay of a study's sources with the base model, before a sweep."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from mtray.errors import ConfigError
from mtray.generated_replay import with_replay
from mtray.run_files import RUNS
from mtray.run_models import with_run_models
from mtray.study import load_study


def generate(study_path: Path, model: str | None, force: bool) -> int:
    """Generate missing replay (with `force` all of it) and print where it is stored. Raises
    MtrayError, also when no source uses generated replay."""
    if model and Path(model).expanduser().exists():
        model = str(Path(model).expanduser().resolve())
    study = with_run_models(load_study(study_path, model=model), RUNS)
    wanted = [source.name for source in study.sources if source.replay != "er"]
    if not wanted:
        raise ConfigError(
            f"{study_path}: no source has `replay: gr` or `replay: self`; nothing to generate"
        )
    from mtray.embedded.corpora import fetch_corpora

    fetch_corpora(study)
    found = with_replay(study, partial(print, file=sys.stderr), force)
    for source in found.sources:
        if source.name in wanted:
            print(f"{source.name}\t{source.path}")
    return 0
