"""User attributes of trials in the journal, and the groups of trials that they define."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mtray.schema import Role, TrialRecord
from mtray.search.strategy.cost_aware import Observation
from mtray.search.strategy.reserved_trials import SweepStart

ROLE = "role"
EXACT = "exact"  # a baseline's parameters if Optuna would not accept them
SAMPLER_NOTES = "sampler"  # on its own suggestion; empty for replicates
ATTEMPTS = "attempts"  # attempts that were lost
RUNGS = "rungs"  # a pruned trial's partial curve
EXPECTED = "expected"  # extrapolated values of a pruned trial, for the sampler alone
REPLICATE, OF = "replicate", "of"  # its count, above 0, and the trial it repeats
COST = "cost"  # of training, in device-seconds
OVER = "over"  # by constraint of the study, the amount of violation
FIRST_AGAIN = "first_again"  # the repeat of the first baseline, at the start
CONFIRMS = "confirms"  # the recommended recipe of a budget of this many trials
SETTLES = "settles"  # beyond the budget: the probability that settles the answer
WHY = "why"  # reason in words, for confirming and settling trials
IMPORTED = "taken"  # imported from an earlier run: its digest
INSTEAD_OF = "instead_of"  # the number of a trial that machines took away, which this one repeats
AGAIN = "again"  # trains a trial of an earlier run again: its digest


def own_trials(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """All trials without those that --trials does not count: imported ones, and those that another
    one repeats because machines took them away."""
    found = [t for t in trials if IMPORTED not in t.user_attrs]
    repeated = {t.user_attrs[INSTEAD_OF] for t in found if INSTEAD_OF in t.user_attrs}
    return [t for t in found if t.number not in repeated]


def imported_trials(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    return [t for t in trials if IMPORTED in t.user_attrs and t.state == TrialState.COMPLETE]


def initial_trials(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Baselines and space-filling points: enqueued at the start, not suggested by a sampler."""
    return [t for t in own_trials(trials) if SAMPLER_NOTES not in t.user_attrs]


def role_of(trial: FrozenTrial) -> Role:
    role: Role = trial.user_attrs.get(ROLE, "search")
    return role


def is_baseline(trial: FrozenTrial) -> bool:
    """Whether a trial is a baseline and not a replicate of one."""
    return role_of(trial) != "search" and REPLICATE not in trial.user_attrs


def sweep_start(trials: Iterable[FrozenTrial]) -> SweepStart:
    """The initial trials of a run."""
    every = list(trials)
    first = initial_trials(every)
    baselines = sum(map(is_baseline, first))
    again = any(FIRST_AGAIN in t.user_attrs for t in every)
    return SweepStart(baselines, len(first) - baselines, again)


def observation_of(trial: FrozenTrial) -> Observation | None:
    """The sampler's observation of an ended trial: its values, or else the extrapolated ones."""
    notes = trial.user_attrs
    values: list[float] | None = trial.values or notes.get(EXPECTED)
    if values is None:
        return None
    return Observation(values, notes.get(COST), notes.get(OVER, {}), role_of(trial) != "search")


def pruned_notes(record: TrialRecord, expected: list[float] | None) -> dict[str, Any]:
    """Notes on a pruned trial, which has no values."""
    curve = [rung.model_dump(mode="json") for rung in record.rungs]
    found: dict[str, Any] = {"reason": record.reason, RUNGS: curve}
    return found if expected is None else found | {EXPECTED: expected}
