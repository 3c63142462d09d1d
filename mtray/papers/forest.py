"""Forest plots for the papers' reports: a row for each method, a panel for each measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mtray.papers.curves import COLOURS, INK
from mtray.report.differences import Difference

PANEL_WIDTH = 2.7  # inches
ROW_HEIGHT = 0.24
ACROSS = 3  # panels in a row
LABEL_WIDTH = 0.075  # of a character


@dataclass(frozen=True)
class ForestPanel:
    """A measure's differences in the order of the rows; None where it was not measured."""

    title: str
    differences: Sequence[Difference | None]


def forest_png(
    rows: Sequence[str], panels: Sequence[ForestPanel], title: str, dpi: int = 130
) -> bytes:
    """The differences with their 95 % intervals as PNG; a filled marker where the interval
    excludes 0."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from mtray.report.plots import figure_bytes

    columns = min(ACROSS, len(panels))
    lines = -(-len(panels) // columns)
    width = PANEL_WIDTH * columns + LABEL_WIDTH * max(map(len, rows)) + 0.2
    height = (ROW_HEIGHT * len(rows) + 0.5) * lines + 0.5
    figure = Figure((width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        axes.axvline(0, color="#a8adb4", linewidth=0.8)
        for place, found in enumerate(panel.differences):
            if found is not None:
                _interval(axes, place, found)
        axes.set_title(panel.title, fontsize=8, color=INK)
        axes.tick_params(labelsize=7, length=2)
        axes.set_yticks(range(len(rows)), rows)
        axes.set_ylim(len(rows) - 0.5, -0.5)  # the first row on top
    figure.suptitle(title, fontsize=9, color=INK)
    return figure_bytes(figure, "png")


def _interval(axes: object, place: int, found: Difference) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    apart = found.low > 0 or found.high < 0
    axes.plot([found.low, found.high], [place, place], color=COLOURS[0], linewidth=1.3)
    axes.plot(
        [found.gap], [place], "o", color=COLOURS[0], markersize=4.5,
        markerfacecolor=COLOURS[0] if apart else "white",
    )  # fmt: skip
