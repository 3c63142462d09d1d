"""Whether a resumed run begins with the model that its trials began with, where a trial of another
run trained it (`mtray.run_models`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mtray.errors import RunError
from mtray.lineage import lineage_of
from mtray.run_files import STUDY_FILE
from mtray.schema import Study
from mtray.search.ledger.moved_files import FILES, path_digest

LINEAGE = "lineage"  # key of the study file: `Lineage` of the base model


def recorded_lineage(study: Study) -> dict[str, Any]:
    """The entry of the study file; empty for a model that no trial of ours trained."""
    origin = lineage_of(study.model)
    return {} if origin is None else {LINEAGE: origin.model_dump(mode="json")}


def check_base_model(run_dir: Path, study: Study) -> None:
    """RunError where the files of the base model differ from those at the run's first start."""
    file, origin = run_dir / STUDY_FILE, lineage_of(study.model)
    if origin is None or not file.is_file():
        return
    found = json.loads(file.read_text(encoding="utf-8"))
    before = found.get(FILES, {}).get(study.model)
    if before in (None, path_digest(Path(study.model))):
        return
    known = found.get(LINEAGE) or {}
    raise RunError(
        f"run {run_dir.name!r} began with another base model than the one that is now in "
        f"{study.model} ({origin.text}): sha256 of the weights taken over was "
        f"{known.get('weights')}, is {origin.weights}; restore that folder to continue the run, or "
        "give the same command another --name to train anew"
    )
