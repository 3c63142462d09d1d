"""How many trials of a budget are reserved for repeats and for the confirmation, which trains the
recommended recipe at the end."""

from __future__ import annotations

from dataclasses import dataclass

from mtray.schema import Budget

FEWEST = 2  # repeats near the end; a single one says little about which recipes are on the front
LEAST_SEARCHED = 2  # recipes; a single one leaves nothing to choose from


@dataclass(frozen=True)
class SweepStart:
    """The initial trials of a sweep.

    - `baselines`: number of baselines to train.
    - `filling_points`: number of space-filling points.
    - `repeatable`: whether there is a first baseline of which no repeat was imported.
    """

    baselines: int
    filling_points: int
    repeatable: bool


@dataclass(frozen=True)
class ReservedTrials:
    """Numbers of trials of a budget that are reserved, and do not search.

    - `first`: repeats of the first baseline at the start, 0 or 1.
    - `repeats`: all repeats: `first` and those near the end.
    - `confirm`: confirmations of the recommended recipe, 0 or 1.
    """

    first: int
    repeats: int
    confirm: int


def reserved_trials(budget: Budget, total: int, begins: SweepStart) -> ReservedTrials:
    """The reserved ones of `total` trials. The first baseline is repeated if that leaves at least
    `LEAST_SEARCHED` recipes to search, the minimum for any sweep with baselines
    (`BudgetAllocation.check`). There is a confirmation if that leaves the space-filling points and
    one recipe suggested by the sampler."""
    most = total - begins.baselines
    first = bool(budget.replicate_share and begins.repeatable and most > LEAST_SEARCHED)
    start = begins.baselines + begins.filling_points
    repeats = max(int(first), reserved_repeats(total, budget.replicate_share, start))
    searched = most - repeats - budget.confirm
    enough = searched >= max(LEAST_SEARCHED, begins.filling_points + 1)
    return ReservedTrials(int(first), repeats, budget.confirm if enough else 0)


def reserved_repeats(total: int, share: float, start: int) -> int:
    """How many of `total` trials are repeats: `share` of them, but at most half of those left after
    the first `start` trials (baselines and space-filling points), and 0 if fewer than `FEWEST`."""
    count = min(int(share * total + 1e-9), max(0, total - start) // 2)
    return count if count >= FEWEST else 0


def settling_total(budget: Budget, trials: int) -> int:
    """The maximum number of trials of a sweep: `budget.trials` or, with `budget.settle`,
    `budget.ceiling`, by default one and a half times the planned number. `trials`: number of trials
    of the run, without those requested to settle the answer."""
    if budget.settle is None:
        return budget.trials
    planned = max(budget.trials, trials)
    return planned + planned // 2 if budget.ceiling is None else budget.ceiling
