"""What the journal notes on a trial, and the trials that can be told apart by it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mtray.schema import Role, TrialRecord
from mtray.search.strategy.cost_aware import Observation
from mtray.search.strategy.reserved_trials import SweepStart

ROLE = "role"
EXACT = "exact"  # a baseline's parameters, where Optuna would not take them
SAMPLER_NOTES = "sampler"  # on its own suggestion; replicates have them empty
ATTEMPTS = "attempts"  # that were lost
RUNGS = "rungs"  # a pruned trial's partial curve
EXPECTED = "expected"  # what a pruned trial would have come to, for the sampler alone
REPLICATE, OF = "replicate", "of"  # its count, above 0, and the trial it repeats
COST = "cost"  # of training, in device-seconds
OVER = "over"  # how far beyond each of the study's constraints
FIRST_AGAIN = "first_again"  # the repeat of the first baseline, at the start
CONFIRMS = "confirms"  # the recommended recipe of a budget of so many trials
SETTLES = "settles"  # beyond the budget: the probability that the answer is to hold with
WHY = "why"  # in words, of what confirms or settles
IMPORTED = "taken"  # taken over from an earlier run: what it is known by


def own_trials(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Without what was taken over from earlier runs, which --trials does not count."""
    return [t for t in trials if IMPORTED not in t.user_attrs]


def imported_trials(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    return [t for t in trials if IMPORTED in t.user_attrs and t.state == TrialState.COMPLETE]


def initial_trials(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Baselines and space-filling points: enqueued at the start, suggested by no sampler."""
    return [t for t in own_trials(trials) if SAMPLER_NOTES not in t.user_attrs]


def role_of(trial: FrozenTrial) -> Role:
    role: Role = trial.user_attrs.get(ROLE, "search")
    return role


def is_baseline(trial: FrozenTrial) -> bool:
    """Whether a trial is a baseline, and no replicate of one."""
    return role_of(trial) != "search" and REPLICATE not in trial.user_attrs


def sweep_start(trials: Iterable[FrozenTrial]) -> SweepStart:
    """What a run began with."""
    every = list(trials)
    first = initial_trials(every)
    baselines = sum(map(is_baseline, first))
    again = any(FIRST_AGAIN in t.user_attrs for t in every)
    return SweepStart(baselines, len(first) - baselines, again)


def observation_of(trial: FrozenTrial) -> Observation | None:
    """What the sampler is to know of an ended trial: its values, or else those expected."""
    notes = trial.user_attrs
    values: list[float] | None = trial.values or notes.get(EXPECTED)
    return None if values is None else Observation(values, notes.get(COST), notes.get(OVER, {}))


def pruned_notes(record: TrialRecord, expected: list[float] | None) -> dict[str, Any]:
    """On a pruned trial, which has no values."""
    curve = [rung.model_dump(mode="json") for rung in record.rungs]
    found: dict[str, Any] = {"reason": record.reason, RUNGS: curve}
    return found if expected is None else found | {EXPECTED: expected}
