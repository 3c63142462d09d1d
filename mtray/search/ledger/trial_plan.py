"""The allocation of a sweep's trials and the differences it can detect, for the dry run and the
log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtray.report.bootstrap_draws import draws_of
from mtray.report.printing import counted
from mtray.report.records import read_records
from mtray.report.resolution import measured_resolution, resolution_lines, resolution_text
from mtray.schema import Budget, Study, TrialRecord
from mtray.search.ledger.journal_overview import read_overview
from mtray.search.strategy.budget_allocation import BudgetAllocation
from mtray.search.strategy.preference_notes import base_notes
from mtray.search.strategy.reserved_trials import settling_total


def trial_plan(prepared: Any, run_dir: Path, division: BudgetAllocation) -> list[str]:
    """The allocation of the trials, and which differences they can distinguish from zero."""
    study = prepared.study
    records = read_records(run_dir).records if run_dir.is_dir() else ()
    further = settling_lines(study.budget, run_dir)
    sizes = segment_sizes(prepared.suite)
    told = resolution_lines(records, list(study.objectives), draws_of(run_dir), sizes)
    lines = over_lines(records, study.budget.trials) or division.lines()
    return [*lines, *further, *told, *base_notes(study, records)]


def over_lines(records: Sequence[TrialRecord], trials: int) -> list[str]:
    """Lines to show instead of a plan once the budget is spent."""
    finished = sum(r.number >= 0 and r.trained_as is None for r in records)
    if finished < trials:
        return []
    return [
        f"{counted(finished, 'trial')} of this run are finished and the budget is {trials}: none "
        f"is added (`--trials {finished + 1}` or more would)"
    ]


def most_further(budget: Budget, run_dir: Path) -> int:
    """The maximum number of trials beyond the budget that may settle the answer, by the run's
    journal."""
    if budget.settle is None:
        return 0
    entries = read_overview(run_dir).trials
    planned = sum(e.purpose not in ("taken", "settle") for e in entries)
    return max(0, settling_total(budget, planned) - max(budget.trials, planned))


def settling_lines(budget: Budget, run_dir: Path) -> list[str]:
    """Lines on the trials beyond the budget."""
    if budget.settle is None:
        return []
    most = most_further(budget, run_dir)
    until = f"until its probability is {budget.settle:g}"
    if not most:
        return [f"no trials left to settle the answer, {until}: set --trials higher"]
    return [f"then at most {counted(most, 'further trial')} to settle the answer, {until}"]


def segment_sizes(suite: Any) -> dict[str, list[int]]:
    """Independent segments of every evaluation set: those of the directions under "quality", an
    ability's under its name."""
    from mtray.evaluation.scoring import suite_units

    directions, abilities = suite_units(suite)
    sizes = {"quality": [len(np.unique(keys)) for keys in directions]}
    for ability, keys in zip(suite.abilities, abilities, strict=True):
        sizes[ability.name] = [len(ability.requests if keys is None else np.unique(keys))]
    return sizes


def after_first_repeat(
    run_dir: Path, study: Study, say: Callable[[str], None]
) -> Callable[[TrialRecord], None]:
    """A callback for every ended trial. It reports the differences that the sweep can
    distinguish from zero, once, as soon as a recipe has been trained twice, unless one had
    been at the start."""
    objectives, draws = list(study.objectives), draws_of(run_dir)

    def known() -> list[str]:
        found = measured_resolution(read_records(run_dir).records, objectives, draws)
        return resolution_text(found, "as measured by the trials so far")

    told, again = bool(known()), False

    def ended(record: TrialRecord) -> None:
        nonlocal told, again
        again = again or record.replicate > 0
        if told or not again:  # avoids reading every record
            return
        lines = known()
        told = bool(lines)
        for line in lines:
            say(line)

    return ended
