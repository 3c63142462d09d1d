"""Trials of one recipe as one point: means over seeds, with intervals that cover the segments and
the seeds.

What is wrong with a mean over seeds has two parts. The segments: all trials answer the same ones,
so their bootstrap intervals are averaged and not shrunk. The seeds: the variance of
`mtray.analysis.seed_variance`, over the number of seeds behind the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from statistics import fmean

import numpy as np
import numpy.typing as npt

from mtray.analysis.seed_variance import RepeatedTraining, SeedVariance, pooled_variance, with_prior
from mtray.analysis.uncertainty import Z95
from mtray.schema import Recipe, Role, Score, TrialRecord

Array = npt.NDArray[np.float64]
# bootstrap draws of the named scores of a trial, by its number; those that are known
Draws = Callable[[int, Sequence[str]], Mapping[str, Array]]


def no_draws(number: int, names: Sequence[str]) -> Mapping[str, Array]:
    """Of records alone: nothing is paired."""
    return {}


@dataclass(frozen=True)
class Group:
    """Complete trials of one recipe in one role, by number."""

    trials: tuple[TrialRecord, ...]

    @property
    def original(self) -> TrialRecord:
        """The trial that the others repeat; the first of them where it is not complete."""
        return next((t for t in self.trials if t.of is None), self.trials[0])

    @cached_property
    def seeds(self) -> tuple[TrialRecord, ...]:
        """One trial for each seed: one that was run twice with the same is no second sample."""
        found: dict[tuple[int, int], TrialRecord] = {}
        for trial in self.trials:
            found.setdefault((trial.seed, trial.replicate), trial)
        return tuple(found.values())

    @property
    def n_seeds(self) -> int:
        """Seeds behind the mean; 0 for the untouched model, which has none."""
        return 0 if self.original.role == "base" else len(self.seeds)

    @property
    def trainings(self) -> tuple[int, ...]:
        """Numbers of the trials that trained the weights of `seeds`; none of the untouched
        model's."""
        if not self.n_seeds:
            return ()
        return tuple(t.training_number for t in self.seeds)

    @property
    def alpha(self) -> float:
        return self.original.recipe.alpha

    @property
    def stop_after(self) -> float:
        return self.original.recipe.stop_after


def complete_trials(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Those that are complete, by number."""
    return sorted((r for r in records if r.state == "complete"), key=lambda r: r.number)


def group_trials(complete: Sequence[TrialRecord]) -> list[Group]:
    """Complete trials by recipe and role; the groups in the order of their originals' numbers."""
    found: dict[tuple[Role, Recipe], list[TrialRecord]] = {}
    for record in sorted(complete, key=lambda r: r.number):
        found.setdefault((record.role, record.recipe), []).append(record)
    return sorted((Group(tuple(g)) for g in found.values()), key=lambda g: g.original.number)


def measured(record: TrialRecord) -> dict[str, Score]:
    """Scores and objectives by name."""
    return {**record.scores, **record.objectives}


def longest_shares(groups: Sequence[Group]) -> dict[int, float]:
    """The greatest share of its steps after which a training is a point, by the training."""
    found: dict[int, float] = {}
    for group in groups:
        for number in group.trainings:
            found[number] = max(group.stop_after, found.get(number, 0.0))
    return found


def training_shares(groups: Sequence[Group]) -> Array:
    """What each training's error adds to each group's mean, shape (groups, errors); see
    `seed_draws`. An error is that of a training, or the own part of an intermediate checkpoint of
    it.

    The seed's error of a checkpoint is taken for as large as that of the training's longest point,
    of which it has taken the share s of the steps, and its correlation with that for sqrt(s): that
    of sums, of which the first s of the terms are the same. Checkpoints of one training are
    correlated by the product, less than such sums would be, so that their differences are rather
    too uncertain."""
    longest = longest_shares(groups)
    found: list[tuple[int, tuple[int, float], float]] = []  # row, error, what it adds
    for row, group in enumerate(groups):
        for number in group.trainings:
            shared, each = group.stop_after / longest[number], group.alpha / group.n_seeds
            found.append((row, (number, 1.0), each * sqrt(shared)))
            if shared < 1:
                found.append((row, (number, shared), each * sqrt(1 - shared)))
    place = {error: i for i, error in enumerate(dict.fromkeys(error for _, error, _ in found))}
    shares = np.zeros((len(groups), len(place)))
    for row, error, adds in found:
        shares[row, place[error]] += adds
    return shares


def seed_variance(
    groups: Sequence[Group], names: Sequence[str], draws: Draws = no_draws
) -> SeedVariance:
    """Of the named objectives or scores: pooled over the groups, with the prior. Trials that lack
    one are left out, and so are intermediate checkpoints beside their training's longest point:
    how much less they vary over seeds is not known."""
    families: dict[frozenset[int], list[RepeatedTraining]] = {}
    errors = []
    base, longest = _base_draws(groups, names, draws), longest_shares(groups)
    for group in groups:
        seeds = [t for t in group.seeds if all(n in measured(t) for n in names)]
        if not group.n_seeds or not seeds:
            continue
        errors += [_errors(t, names, draws, base) for t in seeds]
        whole = all(group.stop_after == longest[number] for number in group.trainings)
        if group.alpha and whole:
            values = np.array([[measured(t)[n].value for n in names] for t in seeds])
            paired = paired_draws(seeds, names, draws) if len(seeds) > 1 else None
            family = families.setdefault(frozenset(group.trainings), [])
            family.append(RepeatedTraining(values, paired, group.alpha))
    if not errors:
        return SeedVariance(np.zeros(len(names)), np.zeros(len(names)), 0.0, 0)
    found = pooled_variance(
        list(families.values()) or [[RepeatedTraining(np.zeros((1, len(names))))]]
    )
    return with_prior(found, np.median(errors, axis=0))


def _base_draws(groups: Sequence[Group], names: Sequence[str], draws: Draws) -> Mapping[str, Array]:
    """The untouched model's draws; none where it was not measured."""
    base = next((g.original.number for g in groups if g.original.role == "base"), None)
    return {} if base is None else draws(base, names)


def _errors(
    trial: TrialRecord, names: Sequence[str], draws: Draws, base: Mapping[str, Array]
) -> list[float]:
    """Standard errors over segments of what a training changed: of the paired difference to the
    untouched model or, without draws, of the score itself, which is wider."""
    own, scores = draws(trial.number, names), measured(trial)
    return [
        float((own[n] - base[n]).std())
        if n in own and n in base and len(own[n]) == len(base[n])
        else (scores[n].high - scores[n].low) / (2 * Z95)
        for n in names
    ]


def paired_draws(trials: Sequence[TrialRecord], names: Sequence[str], draws: Draws) -> Array | None:
    """Draws of the trials, shape (resamples, trials, names); None unless all have them, equally
    many and finite."""
    found = [draws(trial.number, names) for trial in trials]
    if any(name not in one for one in found for name in names):
        return None
    if len({len(one[name]) for one in found for name in names}) != 1:
        return None
    stacked = np.stack([np.stack([one[n] for n in names], axis=1) for one in found], axis=1)
    return stacked if bool(np.isfinite(stacked).all()) else None


def mean_values(groups: Sequence[Group], names: Sequence[str]) -> Array:
    """Means over seeds of the named scores, shape (groups, names)."""
    return np.array([[fmean(measured(t)[n].value for t in g.seeds) for n in names] for g in groups])


def objective_array(records: Sequence[TrialRecord], names: Sequence[str], part: str) -> Array:
    """`value`, `low` or `high` of every objective, shape (records, objectives)."""
    return np.array([[getattr(r.objectives[n], part) for n in names] for r in records])
