"""The front as a picture: first objective across, second up, a third, where there is one, as
colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from mtray.report.compare import ROLE_NAMES
from mtray.report.front import Front, Point
from mtray.schema import Role

# Okabe & Ito's and Tol's colours, darkened to be read as text; shapes differ as well, for the
# colour-blind
FRONT, KNEE, GREY, INK = "#0072B2", "#D55E00", "#a8adb4", "#2b2f36"
MARKERS: dict[Role, tuple[str, str]] = {
    "base": ("s", "#000000"),
    "parallel_only": ("^", "#00785A"),
    "mono_one_to_one": ("D", "#AA3377"),
    "mono_two_to_one": ("d", "#882255"),
    "uniform": ("P", "#7A5C00"),
}
# where a label may stand around its point, in points, the best place first
OFFSETS = [(6, 6), (6, -12), (-6, 6), (-6, -12), (0, 11), (0, -17), (24, 20), (-24, 20), (24, -28)]


def front_png(front: Front, dpi: int = 200) -> bytes:
    """The picture as PNG, about 1600 x 1000 pixels at the default dpi."""
    figure = Figure(figsize=(8, 5.2), dpi=dpi, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _trials(figure, axes, front)
    _front(axes, front)
    for point in [p for p in front.points if p.role != "search"]:
        marker, colour = MARKERS[point.role]
        x, y = _xy(front, point)
        axes.scatter(x, y, s=64, marker=marker, color=colour, edgecolor="white", zorder=6)
    _frame(axes, front)
    _labels(canvas, axes, front)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def staircase(xy: np.ndarray, high_is_better: tuple[bool, bool]) -> np.ndarray:
    """The border of what the points, shape (k, 2) and sorted by x, dominate: shape (2k - 1, 2).

    Between two neighbours the corner is where both are as good as the worse of the two, so it is
    reached by both.
    """
    worse = [np.minimum if high else np.maximum for high in high_is_better]
    corners = np.stack([worse[i](xy[:-1, i], xy[1:, i]) for i in range(2)], axis=1)
    steps = np.empty((max(0, 2 * len(xy) - 1), 2))
    steps[0::2], steps[1::2] = xy, corners
    return steps


def _xy(front: Front, point: Point) -> tuple[float, float]:
    first, second = front.objectives[:2]
    return point.objectives[first.name].value, point.objectives[second.name].value


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
    drawn = axes.scatter(
        xy[:, 0], xy[:, 1], c=[p.objectives[third.name].value for p in dots], s=34, cmap="cividis",
        edgecolor="white", linewidth=0.4, zorder=5, label="trial",
    )  # fmt: skip
    figure.colorbar(drawn, ax=axes, label=third.label, pad=0.02)


def _front(axes: Axes, front: Front) -> None:
    """Error bars of the front's points; the staircase with two objectives; a ring around the
    knee."""
    points = sorted((p for p in front.points if p.on_front), key=lambda p: _xy(front, p))
    xy = np.array([_xy(front, p) for p in points])
    if len(front.objectives) == 2:
        steps = staircase(
            xy, (front.objectives[0].sense == "max", front.objectives[1].sense == "max")
        )
        axes.plot(steps[:, 0], steps[:, 1], color=FRONT, linewidth=1.6, zorder=3, label="front")
    across, up = (_errors(points, front.objectives[i].name) for i in range(2))
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


def _errors(points: Sequence[Point], name: str) -> np.ndarray:
    """Lengths of the error bars, shape (2, k): below and above."""
    scores = [p.objectives[name] for p in points]
    return np.array([[s.value - s.low for s in scores], [s.high - s.value for s in scores]])


def _frame(axes: Axes, front: Front) -> None:
    first, second = front.objectives[:2]
    axes.set_xlabel(first.label)
    axes.set_ylabel(second.label)
    on = sum(p.on_front for p in front.points)
    axes.set_title(
        f"{front.study}: {front.searched} recipes searched, {on} points on the front",
        loc="left", pad=19, fontsize=12, fontweight="bold", color=INK,
    )  # fmt: skip
    axes.grid(color="#e6e8eb", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.margins(0.09)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    dots = "grey: other recipes" if len(front.objectives) == 2 else "dots: all recipes"
    axes.text(
        0, 1.015, f"blue: front    {dots}    bars: 95 % interval{_means(front)}",
        transform=axes.transAxes, fontsize=8, color="#5b6472",
    )  # fmt: skip


def _means(front: Front) -> str:
    repeated = [p.replicates for p in front.points if p.replicates > 1]
    return f"    {len(repeated)} of {len(front.points)} are means over seeds" if repeated else ""


def _labels(canvas: FigureCanvasAgg, axes: Axes, front: Front) -> None:
    """Names beside the baselines and the knee, numbers beside the front, each where it covers
    least.

    What matters most is placed first and always; a number that would cover a name is left out.
    """
    canvas.draw()  # fixes the layout, so that text and points can be measured
    labels = _Labels(
        canvas, axes, {p.number: axes.transData.transform(_xy(front, p)) for p in front.points}
    )
    names = []
    if front.point(front.knee).role == "search":
        names.append((front.knee, f"knee: trial {front.knee}", KNEE))
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
            labels.place(number, str(number), {"color": FRONT, "fontsize": 7.5}, droppable=True)


def _distance(box: Bbox, xy: Any) -> float:
    """Pixels between a box and a point; 0 when the point lies inside."""
    nearest = np.clip(xy, (box.x0, box.y0), (box.x1, box.y1))
    return float(np.hypot(*(nearest - xy)))


@dataclass
class _Labels:
    """Labels beside points, whose pixels are in `points` by number; `taken` are the boxes of those
    placed so far."""

    canvas: FigureCanvasAgg
    axes: Axes
    points: dict[int, Any]
    taken: list[Bbox] = field(default_factory=list)

    def place(self, number: int, text: str, look: dict[str, Any], droppable: bool = False) -> None:
        """Put one label where it covers the fewest points and labels; none where it is `droppable`
        and would cover another label or leave the picture."""
        x, y = self.axes.transData.inverted().transform(self.points[number])
        best: tuple[float, Any, Bbox] | None = None
        for dx, dy in OFFSETS:
            note = self.axes.annotate(
                text, (x, y), (dx, dy),
                textcoords="offset points", va="baseline", zorder=8,
                ha="left" if dx > 0 else "right" if dx < 0 else "center",
                **({"fontsize": 9} | look),
            )  # fmt: skip
            box = note.get_window_extent(self.canvas.get_renderer())
            clashes = self._clashes(box, number)
            if best is None or clashes < best[0]:
                if best:
                    best[1].remove()
                best = (clashes, note, box)
            else:
                note.remove()
            if not clashes:
                break
        if best and droppable and best[0] >= 4:
            best[1].remove()
        elif best:
            self.taken.append(best[2])

    def _clashes(self, box: Bbox, number: int) -> float:
        """How bad a place is: labels and points that it covers, neighbours that it seems to name,
        edges that it crosses."""
        inside = self.axes.get_window_extent()
        others = [xy for n, xy in self.points.items() if n != number]
        own = _distance(box, self.points[number])
        clashes: float = 4 * sum(box.overlaps(other) for other in self.taken)
        clashes += sum(box.padded(8).contains(*xy) for xy in others)
        clashes += 2 * any(_distance(box, xy) < own for xy in others)
        clashes += 8 * (box.x0 < inside.x0 or box.x1 > inside.x1 or box.y1 > inside.y1)
        return clashes
