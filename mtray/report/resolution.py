"""Which differences a sweep can distinguish from zero, computed from its records and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import hypot, sqrt

import numpy as np

from mtray.analysis.resolution import (
    OF_SCORE,
    TYPICAL,
    Resolution,
    Spread,
    even_segments,
    prior_seeds,
    resolution,
)
from mtray.analysis.uncertainty import Z95
from mtray.report.abilities import PREFIX
from mtray.report.groups import (
    Draws,
    complete_trials,
    group_trials,
    measured,
    paired_draws,
    seed_variance,
)
from mtray.run_files import BASE_NUMBER
from mtray.schema import RETENTION_SUMMARIES, Score, TrialRecord

MOST = 12  # trials whose pairs are examined


@dataclass(frozen=True)
class MeasuredResolution:
    """The resolution in one objective: between two recipes, and between a recipe and the base
    model."""

    recipes: Resolution
    base: Resolution


def resolution_lines(
    records: Sequence[TrialRecord],
    objectives: Sequence[str],
    draws: Draws,
    sizes: Mapping[str, Sequence[int]],
) -> list[str]:
    """The resolution, measured once a recipe was trained twice; before that an estimate, marked as
    such. `sizes`: segments of every evaluation set, those of quality under "quality", an ability's
    under its name."""
    found = measured_resolution(records, objectives, draws)
    if found:
        return resolution_text(found, "as measured by the trials so far")
    base = next((r for r in records if r.number == BASE_NUMBER and r.state == "complete"), None)
    of = "the base model's intervals, else typical values," if base else "typical values"
    head = f"a guess until a recipe has been trained twice, from {of} and a prior over seeds"
    found = guessed_resolution(base, objectives, sizes)
    unknown = [name for name in objectives if name not in found]
    lines = resolution_text(found, head)
    if unknown:
        lines.append(f"  {', '.join(unknown)}: not known until trials have been measured")
    return lines


def measured_resolution(
    records: Sequence[TrialRecord], objectives: Sequence[str], draws: Draws
) -> dict[str, MeasuredResolution]:
    """By objective; empty until the base model and two trainings of one recipe are measured."""
    groups = group_trials(complete_trials(records))
    base = next((g.original for g in groups if g.original.number == BASE_NUMBER), None)
    names = [n for n in objectives if all(n in measured(t) for g in groups for t in g.seeds)]
    if base is None or not names or all(g.n_seeds < 2 for g in groups):
        return {}
    half = seed_variance(groups, names, draws).half_width()
    trained = [t for g in groups for t in g.seeds if g.n_seeds and t.trained_as is None][:MOST]
    pairs = _paired_error(list(combinations(trained, 2)), names, draws)
    to_base = _paired_error([(t, base) for t in trained], names, draws)
    found = {}
    for place, name in enumerate(names):
        n = measured(trained[0])[name].n
        found[name] = MeasuredResolution(
            resolution(float(pairs[place]), float(half[place]), 2, n),
            resolution(float(to_base[place]), float(half[place]), 1, n),
        )
    return found


def _paired_error(
    pairs: Sequence[tuple[TrialRecord, TrialRecord]], names: Sequence[str], draws: Draws
) -> np.ndarray:
    """Standard error over segments of a pair's difference, the median over pairs, shape
    (names,)."""
    errors = []
    for pair in pairs:
        paired = paired_draws(pair, names, draws)
        if paired is None:
            scores = [(measured(pair[0])[n], measured(pair[1])[n]) for n in names]
            errors.append([hypot(_error(a), _error(b)) for a, b in scores])
        else:
            errors.append((paired[:, 0] - paired[:, 1]).std(axis=0))
    return np.asarray(np.median(errors, axis=0))


def _error(score: Score) -> float:
    return (score.high - score.low) / (2 * Z95)


def guessed_resolution(
    base: TrialRecord | None, objectives: Sequence[str], sizes: Mapping[str, Sequence[int]]
) -> dict[str, MeasuredResolution]:
    """By objective, for those that can be estimated before any training: from the base model's own
    intervals if it has them, otherwise from the variance of the default study's segments."""
    found = {}
    for name in objectives:
        guess = _guess(base, name, sizes)
        if guess is None:
            continue
        spread, n = guess
        seeds = prior_seeds(spread.base)
        found[name] = MeasuredResolution(
            resolution(spread.recipes, seeds, 2, n), resolution(spread.base, seeds, 1, n)
        )
    return found


def _guess(
    base: TrialRecord | None, name: str, sizes: Mapping[str, Sequence[int]]
) -> tuple[Spread, int] | None:
    """Standard errors of differences in an objective, and its number of segments."""
    kept = name == "retention" or name.startswith(PREFIX)
    score = measured(base).get(name) if base else None
    if score and score.high > score.low and not kept:
        error = _error(score)
        return Spread(OF_SCORE.recipes * error, OF_SCORE.base * error), score.n
    per_set = _sets(name, sizes) if kept else sizes.get(name, ())
    typical = TYPICAL.get("retention" if kept else name)
    if typical is None or not per_set:
        return None
    n = even_segments(per_set)
    return Spread(typical.recipes / sqrt(n), typical.base / sqrt(n)), n


def _sets(name: str, sizes: Mapping[str, Sequence[int]]) -> list[int]:
    """Set sizes of the abilities that a retention averages; the worst of them is not known in
    advance."""
    ability = name.removeprefix(PREFIX)
    if ability in sizes:
        return list(sizes[ability])
    if name == "retention" or (ability in RETENTION_SUMMARIES and ability != "worst"):
        return [n for part, found in sizes.items() if part != "quality" for n in found]
    return []


def resolution_text(found: Mapping[str, MeasuredResolution], how: str) -> list[str]:
    """A heading, and a line for each objective."""
    if not found:
        return []
    lines = [f"smallest difference beyond noise, each recipe trained once (95 %; {how}):"]
    for name, one in found.items():
        pair = one.recipes
        lines.append(
            f"  {name}: {pair.half:.3g} between two recipes (segments {pair.segments:.2g}, seeds "
            f"{pair.seeds:.2g}), {one.base.half:.3g} between a recipe and the base model; to halve "
            f"the first: {needed_text(pair)}"
        )
    return lines


def needed_text(found: Resolution) -> str:
    """What halving the difference requires, such as `6 trainings of each (5 repeats)`."""
    if found.half == 0:
        return "not possible, it has no noise"
    needed = found.needed()
    if needed.trainings is not None:
        return (
            f"{needed.trainings} trainings of each ({needed.trainings - 1} repeats); more segments "
            "alone are not enough, since the seeds' part is larger"
        )
    if needed.segments is not None:
        return (
            f"{needed.segments:,} segments instead of {found.n:,}; more trainings alone are not "
            "enough, since the segments' part is larger"
        )
    return (
        f"both 4 trainings of each (3 repeats) and {4 * found.n:,} segments instead of "
        f"{found.n:,}; neither alone is enough"
    )
