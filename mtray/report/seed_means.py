"""Means over seeds: a record for each recipe, whose intervals cover the segments and the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import hypot, inf, sqrt
from statistics import NormalDist

from mtray.analysis.seed_variance import SeedVariance
from mtray.analysis.uncertainty import LEVEL, Z95, bounded_score
from mtray.report.abilities import ability_measures
from mtray.report.groups import Draws, Group, mean, measured, no_draws, seed_variance
from mtray.schema import Score, TrialRecord

SHARE = "retention."  # prefix of an ability's name
WORST = f"{SHARE}worst"


def seed_spreads(groups: Sequence[Group], draws: Draws = no_draws) -> dict[str, SeedVariance]:
    """The seed variance of everything that was measured, each by itself, by name."""
    names = dict.fromkeys(name for group in groups for t in group.trials for name in measured(t))
    return {name: seed_variance(groups, [name], draws) for name in names}


def mean_records(
    groups: Sequence[Group],
    draws: Draws = no_draws,
    spreads: Mapping[str, SeedVariance] | None = None,
) -> list[TrialRecord]:
    """One record for each group: the original's, with means over seeds as its values and the mean
    duration as its `seconds`. `retention.worst` is the minimum of the abilities' means. `spreads`:
    `seed_spreads`, if they are known."""
    spreads = seed_spreads(groups, draws) if spreads is None else spreads
    return [_mean_record(group, spreads) for group in groups]


def _mean_record(group: Group, spreads: Mapping[str, SeedVariance]) -> TrialRecord:
    objectives, scores = _means(group, spreads, "objectives"), _means(group, spreads, "scores")
    if WORST in scores:
        scores[WORST] = _worst(group, spreads, scores)
    total = mean(t.total_seconds for t in group.seeds)
    changes = {"objectives": objectives, "scores": scores, "seconds": {"total": total}}
    return group.original.model_copy(update=changes)


def _means(group: Group, spreads: Mapping[str, SeedVariance], part: str) -> dict[str, Score]:
    found: list[dict[str, Score]] = [getattr(trial, part) for trial in group.seeds]
    names = dict.fromkeys(name for scores in found for name in scores)
    return {
        name: mean_score([f[name] for f in found if name in f], _half(group, spreads[name]))
        for name in names
    }


def _half(group: Group, spread: SeedVariance, level: float = LEVEL) -> float:
    """Half the width of the interval of one trial's error over seeds, at the recipe's alpha."""
    return group.alpha * spread.first_half_width(level) if group.n_seeds else 0.0


def mean_score(scores: Sequence[Score], half: float, stretch: float = 1.0) -> Score:
    """The mean of one score over seeds. Its interval combines the segments' part, `stretch` times
    as wide as the scores', and the seeds' part, `half` the width of one trial's, as independent
    (MOVER: Zou & Donner 2008, Stat. Med. 27:1693), clipped to the measure's range."""
    if len(scores) == 1 and not half and stretch == 1:
        return scores[0]
    by_seeds = half / sqrt(len(scores))
    value = mean(s.value for s in scores)
    low = value - hypot(stretch * mean(s.value - s.low for s in scores), by_seeds)
    high = value + hypot(stretch * mean(s.high - s.value for s in scores), by_seeds)
    first = scores[0]
    signature = first.signature + (f"|seeds:{len(scores)}" if len(scores) > 1 else "")
    least = -inf if first.least is None else first.least
    most = inf if first.most is None else first.most
    return bounded_score(value, (low, high), first.n, signature, (least, most))


def _worst(group: Group, spreads: Mapping[str, SeedVariance], means: Mapping[str, Score]) -> Score:
    """The minimum of the abilities' means. Its interval is that of this ability among intervals
    that hold for all abilities simultaneously (Bonferroni)."""
    abilities = ability_measures(means)
    if not abilities:
        return means[WORST]
    name = min(abilities, key=lambda n: means[n].value)
    level = 1 - (1 - LEVEL) / len(abilities)
    stretch = NormalDist().inv_cdf((1 + level) / 2) / Z95
    scores = [trial.scores[name] for trial in group.seeds if name in trial.scores]
    found = mean_score(scores, _half(group, spreads[name], level), stretch)
    whole = f"{means[WORST].signature}|seeds:{len(scores)}" if len(scores) > 1 else None
    return found.model_copy(update={"signature": whole or means[WORST].signature})
