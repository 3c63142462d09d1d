"""Whether a run goes on with the code that made its trials."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mtray.run_files import STUDY_FILE, trials_text
from mtray.runtime import CODE, commit, trial_code
from mtray.schema import TrialRecord
from mtray.search.ledger.run_folder import BEGUN_BY


def other_code_note(run_dir: Path, records: Sequence[TrialRecord]) -> str:
    """A sentence on measured trials of a bound run that another version of the code made; empty
    where this one made all of them."""
    own = trial_code()
    others = [r.number for r in records if r.scores and r.versions.get(CODE) != own]
    if not others:
        return ""
    began = json.loads((run_dir / STUDY_FILE).read_text(encoding="utf-8")).get(BEGUN_BY) or {}
    before, now = began.get("commit"), commit()
    commits = f" (the run began at commit {before}, this is {now})" if before and now else ""
    return (
        f"{trials_text(others)} of this run were made by another version of mtray's code{commits}; "
        "where its changes affect values, they are not comparable with the trials to come. To go "
        "on with the old code, check it out; to measure all trials alike, give another --name"
    )
