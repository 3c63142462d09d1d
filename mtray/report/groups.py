"""Trials of one recipe as one point: means over seeds, with intervals that cover the segments and
the seeds.

What is wrong with a mean over seeds has two parts. The segments: all trials answer the same ones,
so their bootstrap intervals are averaged and not shrunk. The seeds: the variance pooled over all
recipes that were repeated (`mtray.analysis.seeds`), over the number of seeds behind the mean. Where
nothing was repeated the second is unknown and left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import hypot, inf, sqrt
from statistics import fmean

import numpy as np

from mtray.analysis.pareto import front_probability, interval_draws, maximised
from mtray.analysis.seeds import SeedVariance, pooled_variance, seed_draws
from mtray.schema import Recipe, Role, Score, Sense, TrialRecord

DRAWS = 2000


@dataclass(frozen=True)
class Group:
    """Complete trials of one recipe in one role, by number."""

    trials: tuple[TrialRecord, ...]

    @property
    def original(self) -> TrialRecord:
        """The trial that the others repeat; the first of them where it is not complete."""
        return next((t for t in self.trials if t.of is None), self.trials[0])

    @property
    def seeds(self) -> tuple[TrialRecord, ...]:
        """One trial for each seed: one that was run twice with the same is no second sample."""
        found: dict[tuple[int, int], TrialRecord] = {}
        for trial in self.trials:
            found.setdefault((trial.seed, trial.replicate), trial)
        return tuple(found.values())

    @property
    def lucky(self) -> int:
        """Seeds behind the mean; 0 for the untouched model, on which luck has no hold."""
        return 0 if self.original.role == "base" else len(self.seeds)


def complete_trials(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Those that are complete, by number."""
    return sorted((r for r in records if r.state == "complete"), key=lambda r: r.number)


def group_trials(complete: Sequence[TrialRecord]) -> list[Group]:
    """Complete trials by recipe and role; the groups in the order of their originals' numbers."""
    found: dict[tuple[Role, Recipe], list[TrialRecord]] = {}
    for record in sorted(complete, key=lambda r: r.number):
        found.setdefault((record.role, record.recipe), []).append(record)
    return sorted((Group(tuple(g)) for g in found.values()), key=lambda g: g.original.number)


def seed_variance(groups: Sequence[Group], names: Sequence[str]) -> SeedVariance:
    """Of the named objectives or scores, pooled over the groups; trials that lack one are left
    out."""
    values = [
        [[measured[n].value for n in names] for measured in map(_measured, group.seeds)
         if all(n in measured for n in names)]
        for group in groups if group.lucky
    ]  # fmt: skip
    kept = [np.array(rows) for rows in values if rows]
    return pooled_variance(kept or [np.zeros((1, len(names)))])


def _measured(record: TrialRecord) -> dict[str, Score]:
    return {**record.scores, **record.objectives}


def mean_records(groups: Sequence[Group]) -> list[TrialRecord]:
    """One record for each group: the original's, with means over seeds as its values and the mean
    duration as its `seconds`."""
    names = {name for group in groups for t in group.trials for name in _measured(t)}
    halves = {name: float(seed_variance(groups, [name]).quantile(0.975)[0]) for name in names}
    return [_mean_record(group, halves) for group in groups]


def _mean_record(group: Group, halves: Mapping[str, float]) -> TrialRecord:
    def means(part: str) -> dict[str, Score]:
        found = [getattr(trial, part) for trial in group.seeds]
        return {
            name: mean_score(
                name, [f[name] for f in found if name in f], halves[name] if group.lucky else 0.0
            )
            for name in dict.fromkeys(name for f in found for name in f)
        }

    total = fmean(t.total_seconds for t in group.seeds)
    changes = {"objectives": means("objectives"), "scores": means("scores")}
    return group.original.model_copy(update={**changes, "seconds": {"total": total}})


def mean_score(name: str, scores: Sequence[Score], half: float) -> Score:
    """The mean of one score over seeds. Its interval joins the segments' part and the seeds',
    `half` the width of one trial's, as independent (MOVER: Zou & Donner 2008, Stat. Med.
    27:1693)."""
    if len(scores) == 1 and not half:
        return scores[0]
    luck = half / sqrt(len(scores))
    value = fmean(s.value for s in scores)
    low = value - hypot(fmean(s.value - s.low for s in scores), luck)
    high = value + hypot(fmean(s.high - s.value for s in scores), luck)
    signature = scores[0].signature + (f"|seeds:{len(scores)}" if len(scores) > 1 else "")
    return Score(
        value=value, low=low, high=max(value, min(high, upper_bound(name))), n=scores[0].n,
        signature=signature,
    )  # fmt: skip


def upper_bound(name: str) -> float:
    """The most that a score can be: 1 for the retention of one ability or of all."""
    return 1.0 if name.split(".")[0] == "retention" else inf


def segment_draws(
    draws: np.ndarray, complete: Sequence[TrialRecord], groups: Sequence[Group]
) -> np.ndarray:
    """Means over the seeds of each group, shape (resamples, groups, objectives), of the paired
    draws of `complete` trials, shape (resamples, trials, objectives)."""
    place = {record.number: i for i, record in enumerate(complete)}
    return np.stack(
        [draws[:, [place[t.number] for t in group.seeds]].mean(axis=1) for group in groups], axis=1
    )


def add_luck(
    segments: np.ndarray, groups: Sequence[Group], spread: SeedVariance, names: Sequence[str]
) -> np.ndarray:
    """Draws of the groups' means over segments and seeds, shape as `segments`."""
    moved = segments + seed_draws(spread, [g.lucky for g in groups], len(segments))
    bounds = [upper_bound(name) for name in names]
    # what the segments alone put past the bound stays: rounding, not luck
    return np.minimum(moved, np.maximum(bounds, segments))


def objective_array(records: Sequence[TrialRecord], names: Sequence[str], part: str) -> np.ndarray:
    """`value`, `low` or `high` of every objective, shape (records, objectives)."""
    return np.array([[getattr(r.objectives[n], part) for n in names] for r in records])


def front_chances(
    groups: Sequence[Group],
    objectives: Mapping[str, Sense],
    segments: np.ndarray | None,
    draws: int = DRAWS,
) -> np.ndarray:
    """Each group's probability of being on the front, shape (groups,).

    `segments` are paired draws of the groups' means, as of `segment_draws`; without them every mean
    is drawn `draws` times from its own interval.
    """
    names = list(objectives)
    if segments is not None:
        drawn = add_luck(segments, groups, seed_variance(groups, names), names)
    else:
        means = mean_records(groups)
        value, low, high = (objective_array(means, names, p) for p in ("value", "low", "high"))
        drawn = interval_draws(value, low, high, draws)
    return front_probability(maximised(drawn, list(objectives.values())))
