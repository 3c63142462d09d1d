"""What the journal notes on a trial, and the trials that can be told apart by it."""

from __future__ import annotations

from collections.abc import Iterable

from optuna.trial import FrozenTrial, TrialState

from mtray.schema import Role

NOTES = "sampler"  # what the sampler noted on its suggestion; replicates have it empty
REPLICATE, OF = "replicate", "of"  # its count, above 0, and the trial it repeats
TAKEN = "taken"  # taken over from an earlier run: what it is known by


def own(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Without what was taken over from earlier runs, which --trials does not count."""
    return [t for t in trials if TAKEN not in t.user_attrs]


def taken_over(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    return [t for t in trials if TAKEN in t.user_attrs and t.state == TrialState.COMPLETE]


def first_ones(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Baselines and space-filling points: put in line at the start, suggested by no sampler."""
    return [t for t in own(trials) if NOTES not in t.user_attrs]


def role_of(trial: FrozenTrial) -> Role:
    role: Role = trial.user_attrs.get("role", "search")
    return role


def is_baseline(trial: FrozenTrial) -> bool:
    """Whether a trial is a baseline, and no replicate of one."""
    return role_of(trial) != "search" and REPLICATE not in trial.user_attrs
