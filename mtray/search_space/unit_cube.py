"""A search space as the unit cube, for samplers that fill it and for models that need numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from mtray.search_space.parameters import within
from mtray.search_space.shares import (
    ShareDistribution,
    amount_at,
    coordinate_of,
    groups_of,
    shares_at,
    units_of,
)
from mtray.search_space.simplex import on_simplex

Array = npt.NDArray[np.float64]
Params = dict[str, Any]


NEXT_TO_ONE = 1 - 1e-8  # from here on, a coordinate of a continuous range means its upper end


class UnitCube:
    """Each parameter is one coordinate in [0, 1) on its own scale (`at_quantile`). `features` are
    the inputs of a model: the coordinate of the value actually used, categories one-hot, and the
    square roots of shares (`mtray.search_space.shares`), whose distance is Hellinger's: from 1 % to
    4 % is then as far as from 25 % to 36 %."""

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self._fixed = {n: at_quantile(d, 0.0) for n, d in distributions.items() if d.single()}
        self._varied = {n: d for n, d in distributions.items() if not d.single()}
        places = {name: place for place, name in enumerate(self._varied)}
        self._groups = [[places[name] for name in names] for names in groups_of(self._varied)]

    @property
    def names(self) -> list[str]:
        """The searched parameters, in the order of the coordinates."""
        return list(self._varied)

    @property
    def dimensions(self) -> int:
        return len(self._varied)

    def params(self, units: Array) -> dict[str, Any]:
        """The parameters at unit coordinates, shape (d,)."""
        varied = {
            n: at_quantile(d, float(u))
            for (n, d), u in zip(self._varied.items(), units, strict=True)
        }
        return divided(self._varied, {**self._fixed, **varied})

    def stored(self, units: Array) -> Array:
        """The coordinates of the same points that `units` gives, shape (k, d): those of shares are
        not unique."""
        found = units.copy()
        for group in self._groups:
            found[:, group] = units_of(shares_at(units[:, group]))
        return found

    def moved(self, units: Array, name: str, unit: float) -> Array:
        """Points, shape (k, d), with another coordinate of one parameter; of a share, `unit` is its
        part of 1, and the others of its group keep their proportions."""
        found, place = units.copy(), self.names.index(name)
        found[:, place] = unit
        for group in self._groups:
            if place in group:
                others = [other for other in group if other != place]
                shares = np.full((len(units), len(group)), unit)
                shares[:, 1:] = (1 - unit) * shares_at(units[:, others])
                found[:, [place, *others]] = units_of(shares)
        return found

    def units(self, params: Mapping[str, Any]) -> Array:
        """The inverse of `params`: the middle of the interval that gives the same value, shape
        (d,)."""
        return np.array([unit_of(d, params[n]) for n, d in self._varied.items()], dtype=np.float64)

    def guesses(self, guesses: Mapping[str, Any]) -> Array:
        """Coordinates of the parameters that have a guess, NaN for the others, shape (d,)."""
        return np.array(
            [unit_of(d, guesses[n]) if n in guesses else np.nan for n, d in self._varied.items()]
        )

    @property
    def share_features(self) -> list[bool]:
        """Of each of the f columns of `features`, whether it is the square root of a share."""
        return [
            isinstance(d, ShareDistribution)
            for d in self._varied.values()
            for _ in range(len(d.choices) if isinstance(d, CategoricalDistribution) else 1)
        ]

    def features(self, units: Array) -> Array:
        """Inputs of a model for k points, shape (k, d) -> (k, f)."""
        units, columns = units.copy(), list[Array]()
        for group in self._groups:
            units[:, group] = np.sqrt(shares_at(units[:, group]))
        for column, d in zip(units.T, self._varied.values(), strict=True):
            if isinstance(d, CategoricalDistribution):
                index = (column * len(d.choices)).astype(np.int64)
                # 0.5 instead of 1, so that different categories are 1 / sqrt(2) apart
                columns += [0.5 * (index == i) for i in range(len(d.choices))]
            else:
                columns.append(column if isinstance(d, ShareDistribution) else snapped(d, column))
        return np.stack(columns, axis=1)


def at_quantile(distribution: BaseDistribution, u: float) -> Any:
    """The value at quantile `u` in [0, 1) of a range, on its own scale; within the range, which
    `exp(log(low))` may not be. Of a share, its amount (`divided`)."""
    if isinstance(distribution, ShareDistribution):
        return amount_at(distribution, u)
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(u * len(distribution.choices))]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if not step and u >= NEXT_TO_ONE:
        return high
    # a value of a stepped range covers the step above it, so that the last is as likely as the
    # first
    top = high + (step or 0)
    if distribution.log:
        value = math.exp(math.log(low) + u * (math.log(top) - math.log(low)))
    else:
        value = low + u * (top - low)
    if step:
        value = low + int((value - low) / step) * step
    return within(distribution, value)


def divided(distributions: Mapping[str, BaseDistribution], params: Mapping[str, Any]) -> Params:
    """The parameters with the amounts of every group of shares divided so that they sum to its
    whole."""
    groups = {
        names[0]: (names, distributions[names[0]].high)  # type: ignore[attr-defined]
        for names in groups_of(distributions)
    }
    return on_simplex(params, groups)


def _ends(d: BaseDistribution) -> tuple[float, float, float]:
    """Low, high plus one step, and the step (0: none); low and high on the parameter's scale."""
    assert isinstance(d, FloatDistribution | IntDistribution)
    step = float(d.step or 0)
    low, top = float(d.low), float(d.high) + step
    return (float(np.log(low)), float(np.log(top)), step) if d.log else (low, top, step)


def unit_of(d: BaseDistribution, value: Any) -> float:
    """The coordinate of a value; for a step or category, the middle of its interval."""
    if isinstance(d, ShareDistribution):
        return coordinate_of(d, value)
    if isinstance(d, CategoricalDistribution):
        return float((d.choices.index(value) + 0.5) / len(d.choices))
    low, top, step = _ends(d)
    assert isinstance(d, FloatDistribution | IntDistribution)
    middle = float(value) + step / 2
    at = float(np.log(middle)) if d.log else middle
    return (at - low) / (top - low)


def snapped(d: BaseDistribution, units: Array) -> Array:
    """Coordinates moved to those of the values that they give."""
    low, top, step = _ends(d)
    if not step:
        return units
    assert isinstance(d, FloatDistribution | IntDistribution)
    on_scale = low + units * (top - low)
    values = np.exp(on_scale) if d.log else on_scale
    values = np.minimum(d.high, d.low + np.floor((values - d.low) / step) * step) + step / 2
    return np.asarray(((np.log(values) if d.log else values) - low) / (top - low))
