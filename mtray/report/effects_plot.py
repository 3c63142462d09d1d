"""Curves of every parameter as one plot: a row for each measure, a column for each parameter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mtray.report.effects import Effect, MeasureEffects
from mtray.report.plots import figure_bytes
from mtray.search_space.parameters import Choices
from mtray.search_space.space import Space

LINE, INK = "#0072B2", "#2b2f36"
CELL = (2.1, 1.7)  # inches of one curve


def effects_png(found: Sequence[MeasureEffects], space: Space, dpi: int = 150) -> bytes:
    """The plot as PNG. A measure's curves share their vertical axis, so that their sizes compare;
    parameters with one value have no curve."""
    varied = {effect.parameter for measure in found for effect in measure.effects}
    names = [name for name in space.parameters if name in varied]
    width, height = CELL[0] * len(names) + 0.8, CELL[1] * len(found) + 0.7
    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(found), len(names), squeeze=False, sharey="row", sharex="col")
    for row, measure in zip(grid, found, strict=True):
        by_name = {effect.parameter: effect for effect in measure.effects}
        for axes, name in zip(row, names, strict=True):
            _curve(axes, by_name[name], space)
        row[0].set_ylabel(measure.measure, fontsize=8, color=INK)
    for axes, name in zip(grid[-1], names, strict=True):
        axes.set_xlabel(name, fontsize=8, color=INK)
    figure.suptitle(
        "Difference from the base model, averaged over the rest of the space; 95 % band; share: of "
        "the variance over the space",
        fontsize=8,
        color=INK,
    )
    return figure_bytes(figure, "png")


def _curve(axes: Axes, effect: Effect, space: Space) -> None:
    parameter = space.parameters[effect.parameter]
    mean, low, high = (
        np.array([getattr(p, part) for p in effect.curve]) for part in ("mean", "low", "high")
    )
    axes.axhline(0, color="#a8adb4", linewidth=0.6)
    if isinstance(parameter, Choices):
        places = np.arange(len(mean))
        axes.errorbar(places, mean, [mean - low, high - mean], fmt="o", color=LINE, markersize=4)
        axes.set_xticks(places, [str(p.value) for p in effect.curve])
    else:
        values = [float(p.value) for p in effect.curve]
        axes.fill_between(values, low, high, color=LINE, alpha=0.2, linewidth=0)
        axes.plot(values, mean, color=LINE, linewidth=1.5)
        if parameter.log:
            axes.set_xscale("log")
    axes.set_title(f"share {effect.share:.2f}", fontsize=7, color=INK, pad=2)
    axes.tick_params(labelsize=7)
    axes.tick_params(axis="x", which="minor", labelbottom=False)
