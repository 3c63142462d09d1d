"""What commands need to use the outputs that trials have kept."""

from __future__ import annotations

import shlex
from pathlib import Path

from mtray.data.translation_prompts import CHATS
from mtray.embedded.corpora import fetch_corpora
from mtray.errors import RunError
from mtray.evaluation.directions import Direction, build_direction
from mtray.evaluation.suite import asking_of
from mtray.run_files import OUTPUTS_FILE, trial_dir, trial_name
from mtray.schema import Study


def quality_directions(study: Study) -> list[Direction]:
    """The directions of the bound study's quality, as its trials were asked. Raises ConfigError or
    DataError if their files cannot be read."""
    fetch_corpora(study)
    evaluation, tokenizer = study.evaluation, None
    if study.template in CHATS:
        from mtray.training.models import load_tokenizer

        tokenizer = load_tokenizer(study.model, study.trust_remote_code)
    asking = asking_of(study, evaluation, tokenizer)
    return [build_direction(q, *asking) for q in evaluation.quality]


def outputs_file(run_dir: Path, number: int) -> Path:
    """The file with a trial's outputs. RunError when it has none."""
    file = trial_dir(run_dir, number) / OUTPUTS_FILE
    if not file.is_file():
        raise RunError(
            f"{run_dir.name}: trial {trial_name(number)} has kept no outputs: {file} is missing; "
            f"`python -m mtray rerun {shlex.quote(str(run_dir))} {trial_name(number)}` makes some"
        )
    return file
