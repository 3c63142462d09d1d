"""How well predictors rank the recipes of a run: Spearman's correlations with the trained values,
and the highest correlation that seed variance allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mtray.analysis.rank_prediction import centred_interval, rank_correlation, unit_draws
from mtray.analysis.uncertainty import Array
from mtray.schema import Frozen

DRAWS = 2000


class Correlation(Frozen):
    """Spearman's correlation of a predictor with the trained values of a measure over recipes, and
    its 95 % interval. `gain`, `gain_low`, `gain_high`: the merged models' correlation minus this
    one; None for the merged models."""

    predictor: str
    value: float
    low: float
    high: float
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None


class Spread(Frozen):
    """How far recipes differ in a measure, and how much of it is seeds.

    - `recipes`: standard deviation of the trained values over recipes.
    - `seeds`: of one training's value over seeds.
    - `ceiling`: the correlation that a perfect prediction of the recipes would have with values
      that vary over seeds (Spearman 1904, American Journal of Psychology 15:72); None if the
      recipes differ by no more than seeds do.
    """

    recipes: float
    seeds: float
    ceiling: float | None


def correlations(predicted: Mapping[str, Array], trained: Array) -> tuple[Correlation, ...]:
    """The correlation of every predictor, shape (n,) each, with the trained values, shape (n,); the
    interval is a Bayesian bootstrap over the n recipes. The first predictor is the one that the
    others are compared with."""
    n = len(trained)
    weights = unit_draws(np.arange(n), DRAWS)
    found = [
        (name, float(rank_correlation(x, trained)), rank_correlation(x, trained, weights))
        for name, x in predicted.items()
    ]
    _, first, first_draws = found[0]
    out = []
    for place, (name, value, draws) in enumerate(found):
        low, high = centred_interval(value, draws, n)
        gain: dict[str, float] = {}
        if place:
            least, most = centred_interval(first - value, first_draws - draws, n)
            gain = {"gain": first - value, "gain_low": least, "gain_high": most}
        out.append(
            Correlation(
                predictor=name, value=value, low=max(low, -1.0), high=min(high, 1.0), **gain
            )
        )
    return tuple(out)


def spread_of(trained: Array, n_seeds: Sequence[int], seeds: float) -> Spread:
    """The spread of means over `n_seeds` seeds, shape (n,) each; `seeds`: the standard deviation of
    one."""
    recipes = float(np.std(trained, ddof=1))
    noise = seeds**2 * float(np.mean(1 / np.asarray(n_seeds)))
    known = recipes**2 - noise
    ceiling = (known / recipes**2) ** 0.5 if known > 0 else None
    return Spread(recipes=recipes, seeds=seeds, ceiling=ceiling)
