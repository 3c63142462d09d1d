"""The front as a plot: first objective on the x axis, second on the y axis, a third, if there is
one, as colour."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mtray.report.compare import ROLE_NAMES
from mtray.report.displayed_scores import axis_label, interval_name, plotted
from mtray.report.front import Front, Objective, Point
from mtray.report.plot_labels import Labels
from mtray.report.plot_modelled import COLOUR, draw_answer, draw_modelled
from mtray.report.plot_preference import draw_equal_worth, draw_limits, preference_legend
from mtray.report.plot_shapes import staircase
from mtray.report.printing import counted
from mtray.schema import Role

# Okabe & Ito's and Tol's colours, darkened to be legible as text; shapes differ as well, for the
# colour-blind
FRONT, KNEE, GREY, INK = "#0072B2", "#D55E00", "#a8adb4", "#2b2f36"
MARKERS: dict[Role, tuple[str, str]] = {
    "base": ("s", "#000000"),
    "parallel_only": ("^", "#00785A"),
    "mono_one_to_one": ("D", "#AA3377"),
    "mono_two_to_one": ("d", "#882255"),
    "uniform": ("P", "#7A5C00"),
}


class FrontFigure(Figure):
    """A figure that a notebook shows as a picture without pyplot."""

    def _repr_png_(self) -> bytes:
        return figure_bytes(self, "png")


def front_png(front: Front, dpi: int = 200) -> bytes:
    """The plot as PNG, about 1600 x 1000 pixels at the default dpi."""
    return figure_bytes(front_figure(front, dpi), "png")


def front_figure(front: Front, dpi: int = 200) -> FrontFigure:
    """The plot, 8 x 5.2 inches, with all labels."""
    figure = FrontFigure(figsize=(8, 5.2), dpi=dpi, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    draw_front(figure, axes, front)
    label_front(canvas, axes, front)
    return figure


def figure_bytes(figure: Figure, kind: Literal["png", "svg", "pdf"]) -> bytes:
    """The figure as a file; SVG and PDF are the same bytes for the same figure."""
    undated: dict[str, dict[str, str | None]] = {
        "svg": {"Date": None}, "pdf": {"CreationDate": None},
    }  # fmt: skip
    buffer = BytesIO()
    with rc_context({"svg.hashsalt": "mtray"}):
        figure.savefig(buffer, format=kind, dpi=figure.dpi, metadata=undated.get(kind))
    return buffer.getvalue()


def draw_front(figure: Figure, axes: Axes, front: Front) -> None:
    """Draw everything except the labels beside points. Draw further elements next, in the
    units of `mtray.report.displayed_scores.plotted`, and call `label_front` last, when the
    layout is final."""
    _reference(axes, front)
    _trials(figure, axes, front)
    _front(axes, front)
    draw_modelled(axes, front)
    for point in [p for p in front.points if p.role != "search"]:
        marker, colour = MARKERS[point.role]
        x, y = _xy(front, point)
        axes.scatter(x, y, s=64, marker=marker, color=colour, edgecolor="white", zorder=6)
    if front.answer is not None:
        at = _xy(front, front.point(front.answer.number))
        draw_answer(axes, front, at)
        draw_limits(axes, front)
        draw_equal_worth(axes, front, at)
    _frame(axes, front)


def _xy(front: Front, point: Point) -> tuple[float, float]:
    first, second = front.objectives[:2]
    return plotted(front, point, first.name).value, plotted(front, point, second.name).value


def _trials(figure: Figure, axes: Axes, front: Front) -> None:
    """Every searched trial as a dot: grey, or coloured by the third objective."""
    dots = [p for p in front.points if p.role == "search"]
    if len(front.objectives) == 2:
        dots = [p for p in dots if not p.on_front]
    if not dots:
        return
    xy = np.array([_xy(front, p) for p in dots])
    if len(front.objectives) == 2:
        axes.scatter(xy[:, 0], xy[:, 1], s=20, color=GREY, alpha=0.75, linewidth=0, label="trial")
        return
    third = front.objectives[2]
    values = [plotted(front, p, third.name).value for p in dots]
    drawn = axes.scatter(
        xy[:, 0], xy[:, 1], c=values, s=34, cmap="cividis", edgecolor="white", linewidth=0.4,
        zorder=5, label="trial",
    )  # fmt: skip
    figure.colorbar(drawn, ax=axes, label=axis_label(front, third), pad=0.02)


def _front(axes: Axes, front: Front) -> None:
    """Error bars of the front's points, the staircase with two objectives, and a ring around the
    knee."""
    points = sorted((p for p in front.points if p.on_front), key=lambda p: _xy(front, p))
    xy = np.array([_xy(front, p) for p in points])
    if len(front.objectives) == 2:
        steps = staircase(
            xy, (front.objectives[0].sense == "max", front.objectives[1].sense == "max")
        )
        axes.plot(steps[:, 0], steps[:, 1], color=FRONT, linewidth=1.6, zorder=3, label="front")
    across, up = (_errors(front, points, front.objectives[i]) for i in range(2))
    axes.errorbar(
        xy[:, 0], xy[:, 1], xerr=across, yerr=up, fmt="none",
        ecolor=FRONT, elinewidth=0.9, capsize=2.2, alpha=0.5, zorder=2,
    )  # fmt: skip
    if len(front.objectives) == 2:
        mine = np.array([_xy(front, p) for p in points if p.role == "search"]).reshape(-1, 2)
        axes.scatter(
            mine[:, 0], mine[:, 1], s=38, color=FRONT, edgecolor="white", linewidth=0.8, zorder=5
        )
    x, y = _xy(front, front.point(front.knee))
    axes.scatter(x, y, s=170, facecolor="none", edgecolor=KNEE, linewidth=2.2, zorder=7)


def _errors(front: Front, points: Sequence[Point], objective: Objective) -> np.ndarray:
    """Lengths of the error bars, shape (2, k): below and above."""
    found = [plotted(front, point, objective.name) for point in points]
    return np.array([[s.value - s.low for s in found], [s.high - s.value for s in found]])


def _reference(axes: Axes, front: Front) -> None:
    """Lines through the reference of the differences."""
    if front.reference is not None:
        for line in (axes.axhline, axes.axvline):
            line(0, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), alpha=0.6, zorder=1)


def _frame(axes: Axes, front: Front) -> None:
    first, second = front.objectives[:2]
    axes.set_xlabel(axis_label(front, first))
    axes.set_ylabel(axis_label(front, second))
    on, words = sum(p.on_front for p in front.points), _lines(_legend(front))
    axes.set_title(
        f"{front.study}: {counted(front.searched, 'recipe')} searched, "
        f"{counted(on, 'point')} on the front",
        loc="left", pad=8 + 11 * len(words), fontsize=12, fontweight="bold", color=INK,
    )  # fmt: skip
    axes.grid(color="#e6e8eb", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.margins(0.09)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.text(
        0,
        1.015,
        "\n".join(words),
        transform=axes.transAxes,
        fontsize=8,
        color="#5b6472",
        linespacing=1.3,
    ).set_in_layout(False)  # a long line must not narrow the axes


def _legend(front: Front) -> list[str]:
    """Legend of colours, bars and lines."""
    flat = len(front.objectives) == 2  # else the dots have the colours of the third objective
    words = ["blue: front", "grey: other recipes"] if flat else ["with number or bars: front"]
    words.append(f"bars: {interval_name(front)}")
    if front.reference is not None:
        words.append("dashed: no difference")
    if front.modelled and len(front.objectives) == 2:
        words.append("violet: front of the expected values, hollow: not trained")
    words += preference_legend(front)
    if any(_doubt(front, number) for number in front.front):
        words.append("!: metrics disagree")
    repeated = sum(p.replicates > 1 for p in front.points)
    return words + [f"{repeated} of {len(front.points)} are means over seeds"] * (repeated > 0)


def _lines(words: Sequence[str], width: int = 105) -> list[str]:
    """Wraps the words at the width of the plot."""
    lines = [""]
    for word in words:
        longer = f"{lines[-1]}    {word}" if lines[-1] else word
        if len(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _doubt(front: Front, number: int) -> str:
    """A mark after the name of a recipe on which two metrics disagree."""
    return " !" if any(number in pair.disagreements for pair in front.second_metrics) else ""


def label_front(canvas: FigureCanvasAgg, axes: Axes, front: Front) -> None:
    """Names beside the baselines and the knee, numbers beside the front, each where it covers
    least.

    The most important labels are placed first and always; a number that would cover a name is left
    out.
    """
    canvas.draw()  # fixes the layout, so that text and points can be measured
    labels = Labels(
        canvas, axes, {p.number: axes.transData.transform(_xy(front, p)) for p in front.points}
    )
    names, answer = [], front.answer
    if answer is not None and front.point(answer.number).role == "search":
        both = " and knee" if answer.number == front.knee else ""
        text = f"answer{both}: trial {answer.number}{_doubt(front, answer.number)}"
        names.append((answer.number, text, COLOUR))
    if front.point(front.knee).role == "search" and front.knee not in [n for n, _, _ in names]:
        names.append((front.knee, f"knee: trial {front.knee}{_doubt(front, front.knee)}", KNEE))
    names += [
        (p.number, ROLE_NAMES[p.role], MARKERS[p.role][1])
        for p in front.points
        if p.role != "search"
    ]
    for number, text, colour in names:
        labels.place(number, text, {"color": colour, "fontweight": "bold"})
    named = {number for number, _, _ in names}
    for number in front.front:
        if number not in named:
            text = f"{number}{_doubt(front, number)}"
            labels.place(number, text, {"color": FRONT, "fontsize": 7.5}, droppable=True)
