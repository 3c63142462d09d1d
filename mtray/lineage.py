"""The file in a model's folder that says which trial trained it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pydantic import ValidationError

from mtray.errors import ModelError
from mtray.files import write_atomically
from mtray.schema import Lineage, Study, TrialRecord

LINEAGE_FILE = "lineage.json"


def lineage_of(model: str) -> Lineage | None:
    """Which trial trained a model; None for a hub name, and for a folder without the file. Raises
    ModelError if the file is damaged."""
    file = Path(os.path.expanduser(model)) / LINEAGE_FILE
    if not model or not file.is_file():
        return None
    try:
        return Lineage.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise ModelError(
            f"{file}: does not say where the model comes from ({' '.join(str(error).split())[:120]}"
            "); remove that folder and let it be made again, or remove the file to use the model "
            "as any other folder"
        ) from None


def lineage(record: TrialRecord, study: Study, run: str, weights: str | None = None) -> Lineage:
    """The lineage of the model of a record. `study`: its run's; `weights`: SHA-256 of the kept
    weights."""
    return Lineage(
        run=run, trial=record.number, recipe=record.recipe, seed=record.seed,
        study=study_hash(study), base=study.model, weights=weights, of=lineage_of(study.model),
    )  # fmt: skip


def study_hash(study: Study) -> str:
    """A hash of the whole study; equal for two runs of one study."""
    return hashlib.sha256(study.model_dump_json().encode()).hexdigest()


def write_lineage(found: Lineage, folder: Path) -> None:
    text = found.model_dump_json(indent=1)
    write_atomically(folder / LINEAGE_FILE, f"{text}\n".encode())
