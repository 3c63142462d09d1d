"""Which trials' weights are kept in a run: those on the current front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mtray.analysis.pareto import maximised, non_dominated
from mtray.report.groups import complete_trials, group_trials, mean_values
from mtray.report.records import read_records
from mtray.run_files import ANY_WEIGHTS_FILE, trial_dir, weights_file
from mtray.schema import Study, TrialRecord
from mtray.search.ledger.record_family import pending


def trained_on_front(records: Sequence[TrialRecord], study: Study) -> set[tuple[int, str]]:
    """The trained weights behind the points of the front, at any alpha: the trial's number and the
    name of its weights file, which gives the share of the steps. Includes all replicates of a
    point."""
    groups = group_trials(complete_trials(records))
    if not groups:
        return set()
    values = mean_values(groups, list(study.objectives))
    on = non_dominated(maximised(values, list(study.objectives.values())))
    members = [t for group, is_on in zip(groups, on, strict=True) if is_on for t in group.trials]
    return {(t.training_number, weights_file(t.recipe.stop_after)) for t in members}


def drop_dominated(run_dir: Path, study: Study) -> None:
    """Delete the weights of ended trials that are on no point of the front, unless all are kept;
    running trials keep theirs."""
    if study.training.keep_weights != "front":
        return
    records = read_records(run_dir).records
    kept = trained_on_front(records, study)
    for record in records:
        # a further point of the trial may be on the front
        if not pending(run_dir, record.number).is_file():
            for file in trial_dir(run_dir, record.number).glob(ANY_WEIGHTS_FILE):
                if (record.number, file.name) not in kept:
                    file.unlink(missing_ok=True)
