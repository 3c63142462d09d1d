"""The effect of every parameter on every measure of a run, by its response surface, and how far
that surface can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mtray.analysis.surface import Importance, curve, importances
from mtray.report.leave_one_out import LeftOutError, left_out_errors
from mtray.report.surface import ModelledRun
from mtray.report.untrained_recipes import recipes_at, spread_points
from mtray.schema import Frozen
from mtray.search_space.parameters import Choices, IntRange, Value
from mtray.search_space.space import Space

Array = npt.NDArray[np.float64]
GRID = 15  # values of a curve
BACKGROUND = 32  # points that a curve is averaged over, a power of two
SPREAD = 64  # points that importances are computed from, a power of two


class CurvePoint(Frozen):
    """A measure's difference from the base model at one `value` of a parameter, averaged over the
    rest of the space: `mean`, and its 95 % interval."""

    value: Value
    mean: float
    low: float
    high: float


class Effect(Frozen):
    """The effect of one parameter on one measure.

    - `share`, `low`, `high`: the share of the measure's variance over the space that involves the
      parameter, with its 95 % interval (`mtray.analysis.surface.importances`).
    - `rise`, `rise_low`, `rise_high`: change of the measure from the first value of the range to
      the last, and its 95 % interval.
    - `curve`: along the range.
    """

    parameter: str
    share: float
    low: float
    high: float
    rise: float
    rise_low: float
    rise_high: float
    curve: tuple[CurvePoint, ...]


class MeasureEffects(Frozen):
    """The effects of all parameters on one measure, the most important first. `left_out`: errors on
    left-out recipes of the surface, a constant and a linear model."""

    measure: str
    effects: tuple[Effect, ...]
    left_out: tuple[LeftOutError, ...]


def effects(surface: ModelledRun, space: Space) -> tuple[MeasureEffects, ...]:
    """The effects on every measure of the surface."""
    shares = _importances(surface)
    curves = {name: _curve_points(surface, space, name) for name in surface.coordinates.names}
    found = []
    for k, measure in enumerate(surface.names):
        process = surface.process(measure)
        own = []
        for place, name in enumerate(surface.coordinates.names):
            values, points = curves[name]
            line, share = curve(process, points), shares[k][place]
            own.append(
                Effect(
                    parameter=name, share=share.share, low=share.low, high=share.high,
                    rise=line.rise, rise_low=line.rise_low, rise_high=line.rise_high,
                    curve=tuple(
                        CurvePoint(value=v, mean=m, low=lo, high=hi)
                        for v, m, lo, hi in zip(
                            values, line.mean.tolist(), line.low.tolist(), line.high.tolist(),
                            strict=True,
                        )
                    ),
                )
            )  # fmt: skip
        own.sort(key=lambda effect: -effect.share)
        found.append(
            MeasureEffects(
                measure=measure, effects=tuple(own), left_out=left_out_errors(surface, measure)
            )
        )
    return tuple(found)


def _importances(surface: ModelledRun) -> list[list[Importance]]:
    """The importances of every parameter, for every measure."""
    d = len(surface.coordinates.names)
    # one sequence of twice the dimensions: later points of a single one are near its first ones
    one, other = np.split(spread_points(2 * d, SPREAD), 2, axis=1)
    mixed = []
    for j in range(d):
        moved = one.copy()
        moved[:, j] = other[:, j]
        mixed.append(_features(surface, moved))
    first = _features(surface, one)
    return [importances(process, first, mixed) for process in surface.surface.processes]


def _features(surface: ModelledRun, units: Array) -> Array:
    return surface.coordinates.features(recipes_at(surface, units))


def _curve_points(surface: ModelledRun, space: Space, name: str) -> tuple[list[Value], Array]:
    """Values of a parameter, g of them, and the features of the background at each, shape (g, b,
    f)."""
    background = spread_points(len(surface.coordinates.names), BACKGROUND)
    values, found = [], []
    for unit in _grid(space, name):
        units = surface.coordinates.moved(background, name, unit)
        values.append(surface.coordinates.params(units[0])[name])
        found.append(_features(surface, units))
    return values, np.stack(found)


def _grid(space: Space, name: str) -> Array:
    """Unit coordinates along a parameter: every choice, and every integer if there are few."""
    parameter, count = space.parameters[name], GRID
    if isinstance(parameter, Choices):
        count = len(parameter.choices)
    elif isinstance(parameter, IntRange) and not parameter.log:
        count = min(GRID, (parameter.high - parameter.low) // parameter.step + 1)
    if isinstance(parameter, Choices) or count < GRID:
        return (np.arange(count) + 0.5) / count
    return np.linspace(0, 1 - 1e-9, count)


def effect_rows(found: Sequence[MeasureEffects]) -> list[dict[str, object]]:
    """A flat row for each point of each curve."""
    return [
        {
            "measure": each.measure, "parameter": effect.parameter, "importance": effect.share,
            "importance_low": effect.low, "importance_high": effect.high, "value": point.value,
            "gap": point.mean, "gap_low": point.low, "gap_high": point.high,
        }
        for each in found
        for effect in each.effects
        for point in effect.curve
    ]  # fmt: skip
