"""How well merged models predict trained ones: rank correlations over the recipes of a run, beside
those of predictors that need no merged model, and mixtures ranked by the predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtray.analysis.pareto import front_order, maximised
from mtray.analysis.rank_prediction import centred_interval, rank_correlation, unit_draws
from mtray.analysis.surface import FEWEST, Surface, fit_surface
from mtray.analysis.uncertainty import Array
from mtray.report.groups import Group, complete_trials, group_trials, mean_values
from mtray.report.surface import Coordinates
from mtray.report.untrained_recipes import spread_points
from mtray.schema import Frozen, Recipe, Sense, TrialRecord
from mtray.search_space.mixture_corners import corner_shares
from mtray.search_space.space import Space

LEAST = 6  # recipes; fewer are too few for a correlation
DRAWS = 2000
MERGED, INTERPOLATED, LINEAR, SIZE = "merged", "interpolated", "linear", "size"
LABELS = {
    MERGED: "merged models, each measured",
    INTERPOLATED: "merged models, interpolated from the others",
    LINEAR: "weighted mean of the pure models' scores",
    SIZE: "number of examples",
}


class Correlation(Frozen):
    """Spearman's correlation of a predictor with the trained values of a measure over recipes, and
    its 95 % interval. `gain`, `gain_low`, `gain_high`: by how much the merged models' is above it;
    None for theirs."""

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


class RankedMixture(Frozen):
    """A mixture of the ranked ones that no other is predicted to beat in every objective, with its
    interpolated scores."""

    recipe: Recipe
    predicted: dict[str, float]


class Proxy(Frozen):
    """The proxy of a run.

    - `trials`: numbers of the recipes that are compared, each trained once or more.
    - `pure`, `merged`: how many pure models were trained and merged models measured.
    - `pure_seconds`, `merged_seconds`: the mean time of one.
    - `correlations`, `spread`: by objective; empty with too few recipes.
    - `ranked`: how many mixtures were ranked by the interpolated scores.
    - `front`: those of them that are predicted to be on the front.
    - `left_out`: trials that are not compared, by reason.
    """

    trials: tuple[int, ...]
    pure: int
    merged: int
    pure_seconds: float
    merged_seconds: float
    correlations: dict[str, tuple[Correlation, ...]]
    spread: dict[str, Spread]
    ranked: int
    front: tuple[RankedMixture, ...]
    left_out: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class ComparedRecipes:
    """Recipes of a run that are mixtures of several corners, and the others' numbers by reason."""

    groups: tuple[Group, ...]
    left_out: dict[str, tuple[int, ...]]

    @property
    def recipes(self) -> list[Recipe]:
        return [group.original.recipe for group in self.groups]


def compared_recipes(records: Sequence[TrialRecord], space: Space) -> ComparedRecipes:
    """The complete recipes of a run that merged models can predict; a baseline and a searched trial
    with one recipe are one."""
    kept: dict[Recipe, Group] = {}
    left_out: dict[str, list[int]] = {}
    for group in group_trials(complete_trials(records)):
        original = group.original
        if original.role == "base":
            continue
        shares = corner_shares(space, original.recipe)
        if shares is None:
            left_out.setdefault("not a mixture of the space", []).append(original.number)
        elif len(shares) == 1:
            left_out.setdefault("a pure model's recipe", []).append(original.number)
        else:
            before = kept.get(original.recipe)
            together = (*before.trials, *group.trials) if before else group.trials
            kept[original.recipe] = Group(together)
    return ComparedRecipes(tuple(kept.values()), {k: tuple(v) for k, v in left_out.items()})


def linear_prediction(shares: Mapping[Recipe, float], scores: Mapping[Recipe, Array]) -> Array:
    """The mean of the corners' scores, shape (measures,), by the mixture's shares of them."""
    return np.asarray(sum(share * scores[corner] for corner, share in shares.items()))


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


def objective_values(records: Sequence[TrialRecord], names: Sequence[str]) -> Array:
    """Shape (records, names)."""
    return np.array([[record.objectives[name].value for name in names] for record in records])


@dataclass(frozen=True)
class MergedSurface:
    """The measured scores of pure and merged models, and a surface fitted to them.

    - `recipes`: n of them, the pure ones among them.
    - `names`: of m measures.
    - `values`: shape (n, m).
    """

    recipes: tuple[Recipe, ...]
    names: tuple[str, ...]
    values: Array
    coordinates: Coordinates
    surface: Surface

    def predict(self, recipes: Sequence[Recipe]) -> Array:
        """Shape (recipes, m)."""
        return self.surface.predict(self.coordinates.features(recipes))[0]

    def left_out(self, recipes: Sequence[Recipe]) -> Array:
        """The prediction for each of the measured recipes from all others, shape (recipes, m)."""
        places = [self.recipes.index(recipe) for recipe in recipes]
        return np.column_stack([p.left_out()[0][places] for p in self.surface.processes])


def merged_surface(
    records: Sequence[TrialRecord], space: Space, names: Sequence[str]
) -> MergedSurface:
    """The surface of pure and merged models. All of them answer the same segments, and none has a
    seed of its own, so there is no known error."""
    recipes = tuple(record.recipe for record in records)
    coordinates, values = Coordinates(space), objective_values(records, names)
    none = np.zeros((len(recipes), len(recipes)))
    surface = fit_surface(coordinates.features(recipes), values, [none] * len(names))
    return MergedSurface(recipes, tuple(names), values, coordinates, surface)


def spread_mixtures(space: Space, count: int) -> list[Recipe]:
    """Mixtures spread over a space, `count` of them."""
    coordinates, power = Coordinates(space), 1 << max(0, count - 1).bit_length()
    units = spread_points(len(coordinates.names), power)[:count]
    return [coordinates.recipe(coordinates.params(row)) for row in units]


def ranked_front(
    surface: MergedSurface, mixtures: Sequence[Recipe], senses: Sequence[Sense]
) -> tuple[RankedMixture, ...]:
    """The front of the mixtures by their interpolated scores."""
    predicted = surface.predict(mixtures)
    order = front_order(maximised(predicted, senses))
    return tuple(
        RankedMixture(
            recipe=mixtures[i],
            predicted=dict(zip(surface.names, predicted[i].tolist(), strict=True)),
        )
        for i in order
    )


def predictions(
    compared: ComparedRecipes,
    pure: Sequence[TrialRecord],
    merged: Mapping[Recipe, TrialRecord],
    surface: MergedSurface,
    space: Space,
) -> dict[str, dict[str, Array]]:
    """By measure and predictor, the predictions for the compared recipes, shape (n,) each."""
    names, recipes = surface.names, compared.recipes
    scores = dict(zip((r.recipe for r in pure), objective_values(pure, names), strict=True))
    size = [group.original.mix.examples for group in compared.groups]
    found = {
        MERGED: objective_values([merged[recipe] for recipe in recipes], names),
        INTERPOLATED: surface.left_out(recipes),
        LINEAR: np.stack(
            [linear_prediction(corner_shares(space, r) or {}, scores) for r in recipes]
        ),
        SIZE: np.repeat(np.array(size, dtype=np.float64)[:, None], len(names), axis=1),
    }
    return {
        name: {predictor: values[:, k] for predictor, values in found.items()}
        for k, name in enumerate(names)
    }


def proxy_of(
    records: Sequence[TrialRecord],
    pure: Sequence[TrialRecord],
    merged: Sequence[TrialRecord],
    space: Space,
    senses: Mapping[str, Sense],
    seeds: Mapping[str, float],
    count: int,
) -> Proxy:
    """The proxy of a run from its records and those of pure and merged models, which include one
    for every compared recipe. `seeds`: by objective, the standard deviation of one training's value
    over seeds; `count`: how many mixtures are ranked. ValueError with fewer than `FEWEST` pure and
    merged models."""
    if len(pure) + len(merged) < FEWEST:
        raise ValueError(f"a surface needs {FEWEST} models, found {len(pure) + len(merged)}")
    names, compared = list(senses), compared_recipes(records, space)
    surface = merged_surface([*pure, *merged], space, names)
    trained = mean_values(compared.groups, names)
    found: dict[str, tuple[Correlation, ...]] = {}
    spread: dict[str, Spread] = {}
    if len(compared.groups) >= LEAST:
        known = predictions(compared, pure, {r.recipe: r for r in merged}, surface, space)
        found = {n: correlations(known[n], trained[:, k]) for k, n in enumerate(names)}
        n_seeds = [group.n_seeds for group in compared.groups]
        spread = {n: spread_of(trained[:, k], n_seeds, seeds[n]) for k, n in enumerate(names)}
    return Proxy(
        trials=tuple(group.original.number for group in compared.groups),
        pure=len(pure), merged=len(merged),
        pure_seconds=_mean_seconds(pure), merged_seconds=_mean_seconds(merged),
        correlations=found, spread=spread, ranked=count,
        front=ranked_front(surface, spread_mixtures(space, count), list(senses.values())),
        left_out=compared.left_out,
    )  # fmt: skip


def _mean_seconds(records: Sequence[TrialRecord]) -> float:
    return float(np.mean([record.total_seconds for record in records])) if records else 0.0
