"""Which trials' weights stay in a run: those of the front, as far as it is known."""

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
    """The trials whose training a point of the front has, at whatever alpha, and the names of their
    files of weights, which tell after which share of the steps: all replicates of it."""
    groups = group_trials(complete_trials(records))
    if not groups:
        return set()
    values = mean_values(groups, list(study.objectives))
    on = non_dominated(maximised(values, list(study.objectives.values())))
    members = [t for group, is_on in zip(groups, on, strict=True) if is_on for t in group.trials]
    return {(t.training_number, weights_file(t.recipe.stop_after)) for t in members}


def drop_dominated(run_dir: Path, study: Study) -> None:
    """Remove the weights of ended trials that are on no point of the front; those of trials that
    run stay."""
    if study.training.keep_weights == "none":
        return
    records = read_records(run_dir).records
    kept = trained_on_front(records, study)
    for record in records:
        # a further point of the trial may be on the front
        if not pending(run_dir, record.number).is_file():
            for file in trial_dir(run_dir, record.number).glob(ANY_WEIGHTS_FILE):
                if (record.number, file.name) not in kept:
                    file.unlink(missing_ok=True)
