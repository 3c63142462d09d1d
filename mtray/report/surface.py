"""The response surface of a run: a model of its objectives and abilities over the whole space,
fitted to the trained recipes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mtray.analysis.gaussian_process_mixture import ProcessMixture
from mtray.analysis.surface import FEWEST, Surface, fit_surface
from mtray.errors import RunError
from mtray.report.evidence import Evidence
from mtray.schema import Recipe
from mtray.search_space.parameters import Choices, IntRange, Parameter, values_of
from mtray.search_space.space import Space
from mtray.search_space.unit_cube import UnitCube

Array = npt.NDArray[np.float64]
Params = Mapping[str, Any]
APART = 0.5  # feature of a value outside the space: a distance of half a parameter's range


class Coordinates:
    """Recipes as feature vectors of the models: the coordinates of a space, then one
    indicator for each value of a recipe in `others` that the space cannot represent, because
    the space fixes another one (a baseline's `source_weights`) or its scale cannot represent
    it (0 on a log scale)."""

    def __init__(self, space: Space, others: Iterable[Recipe] = ()) -> None:
        distributions = space.distributions()
        self._space, self._unit_cube = space, UnitCube(distributions)
        self._single = {name for name, d in distributions.items() if d.single()}
        self._differing: dict[Recipe, dict[str, Any]] = {}
        found = [item for recipe in others for item in self._apart(recipe).items()]
        self._values = list(dict.fromkeys(found))

    @property
    def names(self) -> list[str]:
        """Names of the parameters that vary."""
        return self._unit_cube.names

    def params(self, units: Array) -> dict[str, Any]:
        """The parameter values at unit coordinates, shape (d,)."""
        return self._unit_cube.params(units)

    def moved(self, units: Array, name: str, unit: float) -> Array:
        """`UnitCube.moved`."""
        return self._unit_cube.moved(units, name, unit)

    def recipe(self, params: Params) -> Recipe:
        """The recipe of parameter values."""
        return self._space.recipe(dict(params))

    def _apart(self, recipe: Recipe) -> dict[str, Any]:
        """Fields in which a recipe differs from the space's recipe with the same parameters."""
        if recipe not in self._differing:
            values = self._space.written_out(recipe).model_dump()
            alike = self._space.recipe(self._params(recipe))
            differing = {n: v for n, v in values.items() if v != alike.value(n)}
            self._differing[recipe] = differing
        return self._differing[recipe]

    def _params(self, recipe: Recipe) -> dict[str, Any]:
        """The recipe's parameters. A value that no coordinate can represent is replaced by the
        first choice, or the low end of the range."""
        written = self._space.written_out(recipe)
        values = {name: written.value(name) for name in self._space.parameters}
        return {
            name: values[name]
            if _has_place(p, values[name], name in self._single)
            else values_of(p)[0]
            for name, p in self._space.parameters.items()
        }

    def features(self, recipes: Iterable[Recipe]) -> Array:
        """Shape (k, f). A parameter that the space's conditions switch off for a recipe gets the
        middle of its range, so that recipes do not differ in unused values. Values outside a range
        are not clipped."""
        units, apart = [], []
        for recipe in recipes:
            params = self._params(recipe)
            off = self._space.switched_off(params)
            own = self._unit_cube.units(params)
            units.append([0.5 if n in off else u for n, u in zip(self.names, own, strict=True)])
            differs = self._apart(recipe) if self._values else {}
            apart.append([APART * ((n, v) in differs.items()) for n, v in self._values])
        k = len(units)
        return np.hstack(
            [
                self._unit_cube.features(
                    np.array(units, dtype=np.float64).reshape(k, len(self.names))
                ),
                np.array(apart, dtype=np.float64).reshape(k, len(self._values)),
            ]
        )


def _has_place(parameter: Parameter, value: Any, single: bool) -> bool:
    """Whether a value is one of the choices, or a number that the range's scale can represent. A
    parameter with one value (`single`) has no coordinate for others."""
    if isinstance(parameter, Choices):
        return value in parameter.choices
    if single:
        return bool(value == parameter.low)
    least = -parameter.step / 2 if isinstance(parameter, IntRange) else 0.0
    return value is not None and (not parameter.log or value > least)


@dataclass(frozen=True)
class ModelledRun:
    """The response surface of a run, with the data it was fitted to.

    - `evidence`: measured differences of all trained recipes.
    - `coordinates`: map recipes to feature vectors.
    - `names`: the modelled measures.
    - `surface`: one mixture of Gaussian processes for each measure.
    """

    evidence: Evidence
    coordinates: Coordinates
    names: tuple[str, ...]
    surface: Surface

    def process(self, name: str) -> ProcessMixture:
        """The mixture of Gaussian processes of one measure."""
        return self.surface.processes[self.names.index(name)]

    def means(self, recipes: Iterable[Recipe]) -> Array:
        """The means of `predict`, without the work for the deviations."""
        return self.surface.means(self.coordinates.features(recipes))

    def trained_means(self) -> Array:
        """The same for the trained recipes, in no time, shape (n, measures)."""
        return np.column_stack([p.parts[0].own_means() for p in self.surface.processes])

    def trained_deviations(self, reference: int | None, draws: int) -> Array:
        """At most the standard deviations of the trained recipes' values, or of their differences
        from recipe `reference`, by so many draws of their errors, shape (n, measures)."""
        errors = self.evidence.errors[:draws]
        return np.column_stack(
            [
                p.parts[0].own_deviations(reference, errors[:, :, self.evidence.names.index(name)])
                for name, p in zip(self.names, self.surface.processes, strict=True)
            ]
        )

    def predict(self, recipes: Iterable[Recipe]) -> tuple[Array, Array]:
        """Means and standard deviations of the differences from the base model, each of shape
        (recipes, measures)."""
        return self.surface.predict(self.coordinates.features(recipes))


def modelled(evidence: Evidence, space: Space, names: Sequence[str] = ()) -> ModelledRun:
    """The surface of the named measures (default: all in `evidence`). Raises RunError with fewer
    than `FEWEST` recipes to fit it to, or without a parameter that varies."""
    recipes = [record.recipe for record in evidence.records]
    if len(recipes) < FEWEST:
        raise RunError(f"{len(recipes)} recipes are trained; a response surface needs {FEWEST}")
    names = tuple(names or evidence.names)
    coordinates = Coordinates(space, recipes)
    if not coordinates.names:
        raise RunError("every parameter of the run has one value; a surface needs one that varies")
    gaps = np.column_stack([evidence.gap(name) for name in names])
    errors = [evidence.covariance(name) for name in names]
    surface = fit_surface(coordinates.features(recipes), gaps, errors)
    return ModelledRun(evidence, coordinates, names, surface)
