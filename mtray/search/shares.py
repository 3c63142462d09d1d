"""How many trials of a budget are kept for repeats, and for training what is recommended."""

from __future__ import annotations

from dataclasses import dataclass

from mtray.schema import Budget

FEWEST = 2  # near the end: one repeat tells little of who belongs to the front
LEAST_SEARCHED = 2  # recipes; a front of one is no search


@dataclass(frozen=True)
class Beginning:
    """What a sweep begins with.

    - `baselines`: how many run.
    - `filling`: space-filling points.
    - `repeatable`: whether there is a first baseline that no earlier run has repeated.
    """

    baselines: int
    filling: int
    repeatable: bool


@dataclass(frozen=True)
class Kept:
    """Trials of a budget that search nothing.

    - `first`: repeats of the first baseline at the start, 0 or 1.
    - `repeats`: that one and those near the end.
    - `confirm`: that train the recommended recipe, 0 or 1.
    """

    first: int
    repeats: int
    confirm: int


def kept(budget: Budget, total: int, begins: Beginning) -> Kept:
    """Of `total` trials. The repeat of the first baseline where it leaves `LEAST_SEARCHED` recipes,
    without which no sweep with baselines begins (`Division.check`); the confirmation where it
    leaves the space-filling points and one that they suggested."""
    most = total - begins.baselines
    first = bool(budget.replicate_share and begins.repeatable and most > LEAST_SEARCHED)
    start = begins.baselines + begins.filling
    repeats = max(int(first), reserved(total, budget.replicate_share, start))
    searched = most - repeats - budget.confirm
    enough = searched >= max(LEAST_SEARCHED, begins.filling + 1)
    return Kept(int(first), repeats, budget.confirm if enough else 0)


def reserved(total: int, share: float, start: int) -> int:
    """How many of `total` trials are repeats: their share, but at most half of what is left after
    the `start` trials that every sweep begins with, and none rather than one."""
    count = min(int(share * total + 1e-9), max(0, total - start) // 2)
    return count if count >= FEWEST else 0


def settling_total(budget: Budget, trials: int) -> int:
    """The most trials that a sweep has in all; `trials`: what it has already without those that
    settle the answer. `budget.ceiling`, else half as many again as are planned."""
    if budget.settle is None:
        return budget.trials
    planned = max(budget.trials, trials)
    return planned + planned // 2 if budget.ceiling is None else budget.ceiling
