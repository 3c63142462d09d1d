"""How well merged models predict trained ones: rank correlations over the recipes of a run, with
those of predictors that need no merged model, and mixtures ranked by the predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtray.analysis.pareto import front_order, maximised
from mtray.analysis.surface import FEWEST, Surface, fit_surface
from mtray.analysis.uncertainty import Array
from mtray.errors import RunError
from mtray.report.groups import Group, complete_trials, group_trials, mean_values, measured
from mtray.report.proxy_correlation import Correlation, Spread, correlations, spread_of
from mtray.report.surface import Coordinates
from mtray.report.untrained_recipes import spread_points
from mtray.schema import Frozen, Recipe, Sense, TrialRecord
from mtray.search_space.mixture_corners import corner_shares
from mtray.search_space.space import Space

LEAST = 6  # recipes; fewer are too few for a correlation
# a recipe with a larger share of one corner is that corner's but for a few examples
PURE = 0.99
MERGED, INTERPOLATED, LINEAR, SIZE = "merged", "interpolated", "linear", "size"
LABELS = {
    MERGED: "merged models, each measured",
    INTERPOLATED: "merged models, interpolated from the others",
    LINEAR: "weighted mean of the pure models' scores",
    SIZE: "number of examples",
}


class RankedMixture(Frozen):
    """A ranked mixture that no other one dominates by the predictions, with its interpolated
    scores."""

    recipe: Recipe
    predicted: dict[str, float]


class Proxy(Frozen):
    """The proxy of a run.

    - `trials`: numbers of the recipes that are compared, each trained once or more.
    - `pure`, `merged`: how many pure models were trained and merged models measured.
    - `pure_seconds`, `merged_seconds`: the mean time of one.
    - `correlations`, `spread`: by measure; empty with too few recipes.
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
    """Recipes of a run that are mixtures of several corners, and the numbers of the others by
    reason."""

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
        elif max(shares.values()) > PURE:
            left_out.setdefault("a pure model's recipe", []).append(original.number)
        else:
            before = kept.get(original.recipe)
            together = (*before.trials, *group.trials) if before else group.trials
            kept[original.recipe] = Group(together)
    return ComparedRecipes(tuple(kept.values()), {k: tuple(v) for k, v in left_out.items()})


def linear_prediction(shares: Mapping[Recipe, float], scores: Mapping[Recipe, Array]) -> Array:
    """The mean of the corners' scores, shape (measures,), by the mixture's shares of them."""
    return np.asarray(sum(share * scores[corner] for corner, share in shares.items()))


def measured_values(records: Sequence[TrialRecord], names: Sequence[str]) -> Array:
    """Values of objectives and abilities, shape (records, names)."""
    return np.array([[measured(record)[name].value for name in names] for record in records])


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
    coordinates, values = Coordinates(space), measured_values(records, names)
    none = np.zeros((len(recipes), len(recipes)))
    surface = fit_surface(coordinates.features(recipes), values, [none] * len(names))
    return MergedSurface(recipes, tuple(names), values, coordinates, surface)


def spread_mixtures(space: Space, count: int) -> list[Recipe]:
    """Mixtures spread over a space, `count` of them."""
    coordinates, power = Coordinates(space), 1 << max(0, count - 1).bit_length()
    units = spread_points(len(coordinates.names), power)[:count]
    return [coordinates.recipe(coordinates.params(row)) for row in units]


def ranked_front(
    surface: MergedSurface, mixtures: Sequence[Recipe], senses: Mapping[str, Sense]
) -> tuple[RankedMixture, ...]:
    """The front of the mixtures by their interpolated objectives."""
    predicted = surface.predict(mixtures)
    places = [surface.names.index(name) for name in senses]
    order = front_order(maximised(predicted[:, places], list(senses.values())))
    return tuple(
        RankedMixture(
            recipe=mixtures[i],
            predicted={
                name: float(predicted[i, p]) for name, p in zip(senses, places, strict=True)
            },
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
    scores = dict(zip((r.recipe for r in pure), measured_values(pure, names), strict=True))
    size = [group.original.mix.examples for group in compared.groups]
    found = {
        MERGED: measured_values([merged[recipe] for recipe in recipes], names),
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


@dataclass(frozen=True)
class ProxyRecords:
    """The records of a run's trials, of its pure models, and of merged ones, which include one for
    every compared recipe."""

    trials: Sequence[TrialRecord]
    pure: Sequence[TrialRecord]
    merged: Sequence[TrialRecord]


def proxy_of(
    found: ProxyRecords,
    space: Space,
    senses: Mapping[str, Sense],
    seeds: Mapping[str, float],
    count: int,
) -> Proxy:
    """The proxy of a run. `senses`: of the objectives. `seeds`: by measure, the objectives and the
    abilities, the standard deviation of one training's value over seeds. `count`: how many mixtures
    are ranked. RunError with fewer than `FEWEST` pure and merged models."""
    pure, merged = found.pure, found.merged
    if len(pure) + len(merged) < FEWEST:
        raise RunError(
            f"a surface needs {FEWEST} pure and merged models, found {len(pure) + len(merged)}; "
            "measure more with --measure N"
        )
    names, compared = list(seeds), compared_recipes(found.trials, space)
    surface = merged_surface([*pure, *merged], space, names)
    trained = mean_values(compared.groups, names)
    by_name: dict[str, tuple[Correlation, ...]] = {}
    spread: dict[str, Spread] = {}
    if len(compared.groups) >= LEAST:
        known = predictions(compared, pure, {r.recipe: r for r in merged}, surface, space)
        by_name = {n: correlations(known[n], trained[:, k]) for k, n in enumerate(names)}
        n_seeds = [group.n_seeds for group in compared.groups]
        spread = {n: spread_of(trained[:, k], n_seeds, seeds[n]) for k, n in enumerate(names)}
    return Proxy(
        trials=tuple(group.original.number for group in compared.groups),
        pure=len(pure), merged=len(merged),
        pure_seconds=_mean_seconds(pure), merged_seconds=_mean_seconds(merged),
        correlations=by_name, spread=spread, ranked=count,
        front=ranked_front(surface, spread_mixtures(space, count), senses),
        left_out=compared.left_out,
    )  # fmt: skip


def _mean_seconds(records: Sequence[TrialRecord]) -> float:
    return float(np.mean([record.total_seconds for record in records])) if records else 0.0
