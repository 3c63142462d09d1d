"""Allocation of a budget's trials to baselines, searched recipes, repeats, and a confirmation of
the recommended recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mtray.data.mixing import SumsOf
from mtray.report.records import read_records
from mtray.schema import BASELINES, Study, TrialRecord
from mtray.search.ledger.earlier_trials import EarlierTrial
from mtray.search.ledger.imported_trials import role_here
from mtray.search.ledger.journal_overview import Entry, read_overview
from mtray.search.strategy.baseline_recipes import baseline_recipes
from mtray.search.strategy.budget_allocation import BudgetAllocation
from mtray.search.strategy.reserved_trials import LEAST_SEARCHED
from mtray.search.strategy.samplers import STARTUP
from mtray.search_space.space import Space


def allocated(
    study: Study,
    space: Space,
    entries: Sequence[Entry] = (),
    taken: Sequence[EarlierTrial] = (),
    held: Mapping[str, int] | None = None,
    sums: SumsOf = lambda recipe: None,
) -> BudgetAllocation:
    """The allocation of a study's budget. A baseline is not trained again if it is among `taken`,
    the trials that this start imports from earlier runs, or was imported before, according to the
    `entries` of the run's journal. One that the run has begun or enqueued counts, whether the study
    still names it or not. `held` and `sums` as in `baseline_recipes`."""
    params = baseline_recipes(space, study, held, sums)
    recipes = {role: space.recipe(found) for role, found in params.items()}
    before = [entry for entry in entries if entry.purpose == "taken"]
    here = [(role_here(found, recipes), found.record.replicate) for found in taken]
    known = [*((entry.role, entry.replicate) for entry in before), *here]
    begun = {entry.role for entry in entries if entry.is_baseline}
    wanted = {role for role in recipes if role not in {role for role, _ in known}}
    roles = tuple(role for role in BASELINES if role in wanted | begun)
    again = next((entry.role for entry in entries if entry.first_again), None)
    first = again or next(iter(recipes), None)
    if not again and any(role == first and replicate for role, replicate in known):
        first = None
    filled = max(len(before), len(here)) >= STARTUP
    filling_points = len(study.budget.recipes) or (0 if filled else STARTUP)
    return BudgetAllocation(study.budget, roles, first, filling_points)


def checked_allocation(
    study: Study,
    space: Space,
    run_dir: Path | None = None,
    taken: Sequence[EarlierTrial] = (),
    held: Mapping[str, int] | None = None,
    sums: SumsOf = lambda recipe: None,
) -> BudgetAllocation:
    """The allocation of a study's budget, for a new or an existing run. Raises ConfigError if it
    leaves too few recipes to search, unless the existing run is past that point (`is_past`)."""
    records, entries = tuple[TrialRecord, ...](), tuple[Entry, ...]()
    if run_dir is not None and run_dir.is_dir():
        records, entries = read_records(run_dir).trials, read_overview(run_dir).trials
    division = allocated(study, space, entries, taken, held, sums)
    if not is_past(records, division.trials):
        division.check()
    return division


def is_past(records: Sequence[TrialRecord], trials: int) -> bool:
    """Whether a run already has all its `trials`, or has searched enough recipes; its budget is
    then not checked again."""
    own = [r for r in records if not r.taken_from]
    searched = sum(r.role == "search" and not r.replicate for r in own)
    return len(own) >= trials or searched >= LEAST_SEARCHED
