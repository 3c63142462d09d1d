"""Trials of one recipe as one point: means over seeds, with intervals that cover the segments and
the seeds.

The error of a mean over seeds has two parts. The segments: all trials answer the same ones, so
their bootstrap intervals are averaged, and not narrowed. The seeds: the variance of
`mtray.analysis.seed_variance`, divided by the number of seeds in the mean.
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
# the known bootstrap draws of the named scores of a trial, by its number
Draws = Callable[[int, Sequence[str]], Mapping[str, Array]]


def no_draws(number: int, names: Sequence[str]) -> Mapping[str, Array]:
    """For records without draws: nothing is paired."""
    return {}


@dataclass(frozen=True)
class Group:
    """Complete trials of one recipe in one role, by number."""

    trials: tuple[TrialRecord, ...]

    @cached_property
    def original(self) -> TrialRecord:
        """The trial that the others repeat; the first of them if it is not complete."""
        return next((t for t in self.trials if t.of is None), self.trials[0])

    @cached_property
    def seeds(self) -> tuple[TrialRecord, ...]:
        """One trial for each seed: a second run with the same seed is no second sample."""
        found: dict[tuple[int, int], TrialRecord] = {}
        for trial in self.trials:
            found.setdefault((trial.seed, trial.replicate), trial)
        return tuple(found.values())

    @property
    def n_seeds(self) -> int:
        """Number of seeds in the mean; 0 for the base model, which has none."""
        return 0 if self.original.role == "base" else len(self.seeds)

    @cached_property
    def trainings(self) -> tuple[int, ...]:
        """Numbers of the trials that trained the weights of `seeds`; none for the base model."""
        if not self.n_seeds:
            return ()
        return tuple(t.training_number for t in self.seeds)

    @property
    def alpha(self) -> float:
        return self.original.recipe.reversion_alpha

    @property
    def stop_after(self) -> float:
        return self.original.recipe.stop_after


def complete_trials(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The complete records, by number."""
    return sorted((r for r in records if r.state == "complete"), key=lambda r: r.number)


def group_trials(complete: Sequence[TrialRecord]) -> list[Group]:
    """Complete trials grouped by recipe and role, in the order of their originals' numbers."""
    found: dict[tuple[Role, Recipe], list[TrialRecord]] = {}
    for record in sorted(complete, key=lambda r: r.number):
        found.setdefault((record.role, record.recipe), []).append(record)
    return sorted((Group(tuple(g)) for g in found.values()), key=lambda g: g.original.number)


def measured(record: TrialRecord) -> dict[str, Score]:
    """Scores and objectives by name."""
    return {**record.scores, **record.objectives}


def score_of(record: TrialRecord, name: str) -> Score:
    """One of `measured`, which the record must have."""
    return record.objectives[name] if name in record.objectives else record.scores[name]


def has_scores(record: TrialRecord, names: Iterable[str]) -> bool:
    """Whether a record has all of the named scores or objectives."""
    return all(name in record.objectives or name in record.scores for name in names)


def longest_shares(groups: Sequence[Group]) -> dict[int, float]:
    """By training, the greatest share of its steps at which it has a point."""
    found: dict[int, float] = {}
    for group in groups:
        for number in group.trainings:
            found[number] = max(group.stop_after, found.get(number, 0.0))
    return found


def training_shares(groups: Sequence[Group]) -> Array:
    """Coefficients of the trainings' errors in each group's mean, shape (groups, errors); see
    `seed_draws`. An error belongs to a training, or to one of its intermediate checkpoints alone.

    A checkpoint after the share s of the longest point's steps is assumed to have the same seed
    variance as that point, and a correlation of sqrt(s) with it: that of sums of which the first s
    of the terms are the same. Checkpoints of one training are correlated by the product of these.
    That is less than for such sums, so the uncertainty of their differences is overestimated rather
    than underestimated.
    """
    longest = longest_shares(groups)
    found: list[tuple[int, tuple[int, float], float]] = []  # row, error, coefficient
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
    """Seed variance of the named objectives or scores, pooled over the groups, with the prior.
    Trials that lack one are left out. So are intermediate checkpoints if their training has a
    longer point: how much less they vary over seeds is unknown."""
    families: dict[frozenset[int], list[RepeatedTraining]] = {}
    errors = []
    base, longest = _base_draws(groups, names, draws), longest_shares(groups)
    for group in groups:
        seeds = [t for t in group.seeds if has_scores(t, names)]
        if not group.n_seeds or not seeds:
            continue
        errors += [_errors(t, names, draws, base) for t in seeds]
        whole = all(group.stop_after == longest[number] for number in group.trainings)
        if group.alpha and whole:
            values = np.array([[score_of(t, n).value for n in names] for t in seeds])
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
    """The base model's draws; empty if it was not measured."""
    base = next((g.original.number for g in groups if g.original.role == "base"), None)
    return {} if base is None else draws(base, names)


def _errors(
    trial: TrialRecord, names: Sequence[str], draws: Draws, base: Mapping[str, Array]
) -> list[float]:
    """Standard errors over segments of the effect of a training: of the paired difference to the
    base model or, without draws, of the score itself, which is larger."""
    own = draws(trial.number, names)

    def error(name: str) -> float:
        if name in own and name in base and len(own[name]) == len(base[name]):
            return float((own[name] - base[name]).std())
        score = score_of(trial, name)
        return (score.high - score.low) / (2 * Z95)

    return [error(name) for name in names]


def paired_draws(trials: Sequence[TrialRecord], names: Sequence[str], draws: Draws) -> Array | None:
    """Draws of the trials, shape (resamples, trials, names); None unless all have equally many,
    finite draws."""
    found = [draws(trial.number, names) for trial in trials]
    if any(name not in one for one in found for name in names):
        return None
    if len({len(one[name]) for one in found for name in names}) != 1:
        return None
    # the draws of one value lie side by side
    stacked = np.stack([np.stack([one[name] for one in found]) for name in names]).T
    return stacked if bool(np.isfinite(stacked).all()) else None


def mean_values(groups: Sequence[Group], names: Sequence[str]) -> Array:
    """Means over seeds of the named scores, shape (groups, names)."""
    return np.array([[mean(score_of(t, n).value for t in g.seeds) for n in names] for g in groups])


def mean(values: Iterable[float]) -> float:
    """The mean; most recipes have one seed, and `fmean` takes ten times as long for one value."""
    found = tuple(values)
    return fmean(found) if len(found) > 1 else found[0]


def objective_array(records: Sequence[TrialRecord], names: Sequence[str], part: str) -> Array:
    """`value`, `low` or `high` of every objective, shape (records, objectives)."""
    return np.array([[getattr(r.objectives[n], part) for n in names] for r in records])
