"""The response surface of a run: its objectives and abilities over the whole space, from the
recipes that were trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mtray.analysis.process_mixture import ProcessMixture
from mtray.analysis.surface import FEWEST, Surface, fit_surface
from mtray.errors import RunError
from mtray.parameters import Choices, IntRange, Parameter, values_of
from mtray.report.evidence import Evidence
from mtray.schema import Recipe
from mtray.space import Space
from mtray.unit_cube import Cube

Array = npt.NDArray[np.float64]
Params = Mapping[str, Any]
APART = 0.5  # of a value that the space does not have: as far as half a range


class Coordinates:
    """Recipes as points of what models see: the coordinates of a space, and for every field in
    which one of `others` is not what the space fixes, such as a baseline's `source_weights`, or
    what no coordinate can be, such as 0 on a log scale, one for each such value."""

    def __init__(self, space: Space, others: Iterable[Recipe] = ()) -> None:
        self._space, self._cube = space, Cube(space.distributions())
        found = [item for recipe in others for item in self._apart(recipe).items()]
        self._values = list(dict.fromkeys(found))

    @property
    def names(self) -> list[str]:
        """Of the parameters that vary."""
        return self._cube.names

    def params(self, units: Array) -> dict[str, Any]:
        """The point of the space at unit coordinates, shape (d,)."""
        return self._cube.params(units)

    def recipe(self, params: Params) -> Recipe:
        """Of a point of the space."""
        return self._space.recipe(dict(params))

    def _apart(self, recipe: Recipe) -> dict[str, Any]:
        """Fields in which no recipe of the space with the same parameters is the same."""
        values = recipe.model_dump()
        alike = self._space.recipe(self._params(recipe))
        return {n: v for n, v in values.items() if v != getattr(alike, n)}

    def _params(self, recipe: Recipe) -> dict[str, Any]:
        """The recipe's parameters; in the place of a value that no coordinate can be, the first
        choice, or the low end of the range."""
        values = recipe.model_dump()
        return {
            name: values[name] if _has_place(p, values[name]) else values_of(p)[0]
            for name, p in self._space.parameters.items()
        }

    def features(self, recipes: Iterable[Recipe]) -> Array:
        """Shape (k, f). What a recipe's conditions switch off is taken for the middle, so that
        values that nobody used tell nothing apart; beyond a range stays beyond it."""
        units, apart = [], []
        for recipe in recipes:
            params = self._params(recipe)
            off = self._space.switched_off(params)
            own = self._cube.units(params)
            units.append([0.5 if n in off else u for n, u in zip(self.names, own, strict=True)])
            differs = self._apart(recipe) if self._values else {}
            apart.append([APART * ((n, v) in differs.items()) for n, v in self._values])
        k = len(units)
        return np.hstack(
            [
                self._cube.features(np.array(units, dtype=np.float64).reshape(k, len(self.names))),
                np.array(apart, dtype=np.float64).reshape(k, len(self._values)),
            ]
        )


def _has_place(parameter: Parameter, value: Any) -> bool:
    """Whether a value is a choice, or a number that the range's scale can show."""
    if isinstance(parameter, Choices):
        return value in parameter.choices
    least = -parameter.step / 2 if isinstance(parameter, IntRange) else 0.0
    return value is not None and (not parameter.log or value > least)


@dataclass(frozen=True)
class Modelled:
    """What a run's recipes say about the space.

    - `evidence`: of all trained recipes.
    - `coordinates`: make points of recipes.
    - `names`: of the measures that are modelled.
    - `surface`: one process for each of them.
    """

    evidence: Evidence
    coordinates: Coordinates
    names: tuple[str, ...]
    surface: Surface

    def process(self, name: str) -> ProcessMixture:
        """Of one measure."""
        return self.surface.processes[self.names.index(name)]

    def predict(self, recipes: Iterable[Recipe]) -> tuple[Array, Array]:
        """Means and standard deviations of the differences to the untouched model, each of shape
        (recipes, measures)."""
        return self.surface.predict(self.coordinates.features(recipes))


def modelled(evidence: Evidence, space: Space, names: Sequence[str] = ()) -> Modelled:
    """The surface of the named measures (default: all of the evidence's). RunError with fewer than
    `FEWEST` recipes to fit it to."""
    recipes = [record.recipe for record in evidence.records]
    if len(recipes) < FEWEST:
        raise RunError(f"{len(recipes)} recipes are trained; a response surface needs {FEWEST}")
    names = tuple(names or evidence.names)
    coordinates = Coordinates(space, recipes)
    gaps = np.column_stack([evidence.gap(name) for name in names])
    errors = [evidence.covariance(name) for name in names]
    surface = fit_surface(coordinates.features(recipes), gaps, errors)
    return Modelled(evidence, coordinates, names, surface)
