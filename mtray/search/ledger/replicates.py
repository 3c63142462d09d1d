"""Decides which recipes are trained again with another seed, and when.

A replicate repeats the recipe of an earlier trial with its own seed and its own draw of the data. A
share of the budget is reserved for replicates (`mtray.search.strategy.reserved_trials`). They go to
the recipes whose membership of the front is least certain. The journal records which trial repeats
which, for a restart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.trial import FrozenTrial, TrialState

from mtray.analysis.decision import preferred_chances, scales
from mtray.analysis.pareto import maximised, non_dominated
from mtray.analysis.preference import utility
from mtray.errors import RunError
from mtray.report.bootstrap_draws import read_draws
from mtray.report.differences import Joint, joint
from mtray.report.groups import Group, group_trials
from mtray.report.records import read_record
from mtray.run_files import BASE_NUMBER, result_path
from mtray.schema import Recipe, Study, TrialRecord
from mtray.search.ledger.trial_attributes import EXACT, OF, REPLICATE, ROLE, SAMPLER_NOTES, role_of

Array = npt.NDArray[np.float64]
DRAWS = 250  # enough to find the least certain recipe
NEAR = 100  # number of outermost recipes that are considered


def least_sure(chances: Array, trained: Sequence[int], eligible: Sequence[bool]) -> int | None:
    """Index of the point that the next replicate goes to; None if none is `eligible`.

    `chances`, shape (n,), are the points' probabilities of being on the front; `trained` counts the
    trials of each. Membership has the variance p (1 - p), and the mean over k trials has 1/k of one
    trial's variance, so a further trial reduces it by p (1 - p) (1/k - 1/(k + 1)). The point with
    the greatest reduction is chosen, that is, one with p near 0.5 and few trials. If all
    memberships are certain, the members of the front with the fewest trials are chosen. Ties go to
    fewer trials, then to the earlier point.
    """
    best: tuple[tuple[float, float, int], int] | None = None
    for i, (p, k, allowed) in enumerate(zip(chances, trained, eligible, strict=True)):
        if allowed:
            rank = (round(float(p * (1 - p) / (k * (k + 1))), 12), float(p) / k, -k)
            if best is None or rank > best[0]:
                best = rank, i
    return best[1] if best else None


def outermost(values: Array, least: int) -> npt.NDArray[np.int64]:
    """Indices of the outermost of the points, shape (n, m), more is better: successive fronts are
    removed until there are `least` points, or all."""
    rest = np.arange(len(values))
    kept: list[npt.NDArray[np.int64]] = []
    while len(rest) and sum(map(len, kept)) < least:
        on = non_dominated(values[rest])
        kept.append(rest[on])
        rest = rest[~on]
    return np.sort(np.concatenate(kept)) if kept else rest


class ReplicateSchedule:
    """Which trials of a run repeat which, and which is repeated next. `recipe` returns a trial's
    recipe."""

    def __init__(
        self, run_dir: Path, study: Study, recipe: Callable[[FrozenTrial], Recipe]
    ) -> None:
        self._recipe = recipe
        self._race = ReplicateChoice(run_dir, study)
        self._first: dict[Recipe, int] = {}

    def know(self, trials: Sequence[FrozenTrial]) -> None:
        """Add the recipes of earlier starts."""
        for trial in trials:
            if trial.params and not trial.user_attrs.get(REPLICATE):
                self._original(trial, trials)

    def next(self, trials: Sequence[FrozenTrial]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Parameters and notes of the next replicate to enqueue; None if nothing can be
        repeated."""
        number = self._race.pick(trials)
        return None if number is None else self.again(trials[number], trials)

    def again(
        self, trial: FrozenTrial, trials: Sequence[FrozenTrial]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Parameters and notes of another replicate of a trial's recipe."""
        of = trial.user_attrs.get(OF)
        first = trial if of is None else trials[of]
        return first.params, {SAMPLER_NOTES: {}, **self._notes(first, trials)}

    def repeated(self, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
        """Notes that make a suggestion which equals an earlier recipe a replicate of it; empty for
        any other suggestion, and for a baseline, which keeps its role."""
        if REPLICATE in trial.user_attrs:
            return {}
        first = self._original(trial, trials)
        if first.number == trial.number or role_of(trial) != "search":
            return {}
        return self._notes(first, trials)

    def _original(self, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> FrozenTrial:
        """The first trial of the same recipe that did not fail; otherwise this trial."""
        recipe = self._recipe(trial)
        first = trials[self._first.setdefault(recipe, trial.number)]
        if first.state in (TrialState.FAIL, TrialState.PRUNED):
            self._first[recipe] = trial.number
            return trial
        return first

    def _notes(self, first: FrozenTrial, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
        """Notes on the next replicate of a trial: its count, the trial it repeats, and what it
        inherits from that trial."""
        counts = [t.user_attrs[REPLICATE] for t in trials if t.user_attrs.get(OF) == first.number]
        kept = {k: first.user_attrs[k] for k in (ROLE, EXACT) if k in first.user_attrs}
        most = max([first.user_attrs.get(REPLICATE, 0), *counts])
        return {**kept, REPLICATE: most + 1, OF: first.number}


class ReplicateChoice:
    """The complete trials of a run and their draws, each read once."""

    def __init__(self, run_dir: Path, study: Study) -> None:
        self._run_dir, self._study = run_dir, study
        self._records: dict[int, TrialRecord] = {}
        self._draws: dict[int, dict[str, Array]] = {}

    def pick(self, trials: Sequence[FrozenTrial]) -> int | None:
        """Number of the trial to repeat; None before one is complete. The base model is part of the
        front but never repeated."""
        numbers = [BASE_NUMBER, *self._near_the_front(trials)]
        complete = [r for r in map(self._record, numbers) if r is not None]
        groups = group_trials(complete)
        if not groups:
            return None
        # count running and failed replicates, too: a recipe that always fails would be chosen
        # forever
        more = Counter(t.user_attrs.get(OF) for t in trials if t.state != TrialState.COMPLETE)
        objectives = self._study.objectives
        together = joint(groups, list(objectives), self._few_draws, DRAWS)
        chosen = least_sure(
            self._chances(together, groups),
            [len(g.seeds) + more[g.original.number] for g in groups],
            [g.original.role != "base" for g in groups],
        )
        return None if chosen is None else groups[chosen].original.number

    def _chances(self, together: Joint, groups: Sequence[Group]) -> Array:
        """Each recipe's probability of being on the front, or on its preferred part."""
        senses = list(self._study.objectives.values())
        if not self._study.prefer:
            return together.front_chances(senses)
        prefer = utility(self._study.objectives, self._study.prefer)
        values = maximised(together.values, senses)
        anchors = values[[g.original.role != "search" for g in groups]]
        draws = maximised(together.values + together.errors, senses)
        weights = prefer.weights(len(draws), self._study.seed)
        scale = scales(values, anchors if len(anchors) else values[:1])
        return preferred_chances(draws, scale, prefer, weights)

    def _near_the_front(self, trials: Sequence[FrozenTrial]) -> list[int]:
        """Complete trials of the recipes that may be on the front, by their means. A run of
        thousands has thousands that are not."""
        members: dict[int, list[FrozenTrial]] = {}
        for trial in trials:
            if trial.state == TrialState.COMPLETE:
                of = trial.user_attrs.get(OF)
                members.setdefault(trial.number if of is None else of, []).append(trial)
        if not members:
            return []
        means = [np.mean([t.values for t in found], axis=0) for found in members.values()]
        senses = list(self._study.objectives.values())
        near = set(outermost(maximised(means, senses), NEAR).tolist())
        return [t.number for i, f in enumerate(members.values()) if i in near for t in f]

    def _record(self, number: int) -> TrialRecord | None:
        if number not in self._records:
            try:
                record = read_record(result_path(self._run_dir, number))
            except RunError:  # missing or damaged: ignored
                return None
            if record.state != "complete":
                return None
            self._records[number] = record
        return self._records[number]

    def _few_draws(self, number: int, names: Sequence[str]) -> dict[str, Array]:
        """At most `DRAWS` of the draws, the same ones for every trial."""
        if number not in self._draws:
            found = read_draws(self._run_dir, number, list(self._study.objectives))
            self._draws[number] = {n: d[:: -(-len(d) // DRAWS)] for n, d in found.items()}
        return {name: d for name, d in self._draws[number].items() if name in names}
