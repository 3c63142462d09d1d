"""Figures of the papers' reports: measures against one parameter, a panel for each measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mtray.report.differences import Difference

COLOURS = ("#0072B2", "#D55E00", "#00785A", "#AA3377", "#7A5C00")  # Okabe & Ito's and Tol's
MARKERS = ("o", "s", "^", "D", "P")
INK = "#2b2f36"
PANEL = (2.6, 2.1)  # inches
ACROSS = 3  # panels in a row


@dataclass(frozen=True)
class Line:
    """Values with 95 % intervals, all of the same length, in the order of `x`."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def gains_line(label: str, x: Sequence[float], gains: Sequence[Difference]) -> Line:
    """A gain at each `x`."""
    ends = ([getattr(g, part) for g in gains] for part in ("gap", "low", "high"))
    return Line(label, x, *ends)


@dataclass(frozen=True)
class Panel:
    title: str
    lines: Sequence[Line]


def curves_png(
    panels: Sequence[Panel], x_label: str, title: str, log: bool = False, dpi: int = 130
) -> bytes:
    """The panels as PNG; their lines with one label have one colour."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from mtray.report.plots import figure_bytes

    columns = 2 if len(panels) == 4 else min(ACROSS, len(panels))
    rows = -(-len(panels) // columns)
    size = PANEL[0] * columns + 0.4, PANEL[1] * rows + 0.8
    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    labels = list(dict.fromkeys(line.label for panel in panels for line in panel.lines))
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw(axes, panel, labels, log)
        axes.set_xlabel(x_label, fontsize=8, color=INK)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    found = {line.get_label(): line for ax in grid.flat for line in ax.get_lines()}
    shown = [found[label] for label in labels if label in found]
    figure.legend(shown, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=9, color=INK)
    return figure_bytes(figure, "png")


def _draw(axes: object, panel: Panel, labels: Sequence[str], log: bool) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    axes.axhline(0, color="#a8adb4", linewidth=0.8)
    for line in panel.lines:
        place = labels.index(line.label)
        colour = COLOURS[place % len(COLOURS)]
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(
            line.x, line.y, color=colour, marker=MARKERS[place % len(MARKERS)], markersize=4,
            linewidth=1.4, label=line.label,
        )  # fmt: skip
    if log:
        axes.set_xscale("log")
        places = sorted({x for line in panel.lines for x in line.x})
        axes.set_xticks(places, [f"{x:g}" for x in places])
        axes.set_xticks([], minor=True)
    axes.set_title(panel.title, fontsize=8, color=INK)
    axes.tick_params(labelsize=7)
