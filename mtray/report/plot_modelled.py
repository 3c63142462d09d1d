"""Draws the modelled front into the plot of the observed one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from mtray.report.displayed_scores import plotted
from mtray.report.front import Front
from mtray.report.plot_shapes import staircase
from mtray.run_files import BASE_NUMBER

COLOUR = "#7B3294"


def draw_modelled(axes: Axes, front: Front) -> None:
    """A dashed line through the recipes on the front of the expected values, filled if they were
    trained, hollow otherwise. Nothing with more than two objectives, whose front is not a line."""
    if not front.modelled or len(front.objectives) != 2:
        return
    xy = modelled_points(front)
    order = np.lexsort((xy[:, 1], xy[:, 0]))
    first, second = front.objectives
    steps = staircase(xy[order], (first.sense == "max", second.sense == "max"))
    axes.plot(
        steps[:, 0], steps[:, 1], color=COLOUR, linewidth=1.1, linestyle=(0, (5, 2)), zorder=3
    )
    trained = np.array([point.number is not None for point in front.modelled])
    for which, face in ((trained, COLOUR), (~trained, "white")):
        axes.scatter(
            xy[which, 0], xy[which, 1], s=16, facecolor=face, edgecolor=COLOUR, linewidth=0.9,
            zorder=4,
        )  # fmt: skip


def draw_answer(axes: Axes, front: Front, at: tuple[float, float]) -> None:
    """A ring around the recommended recipe."""
    axes.scatter(*at, s=250, facecolor="none", edgecolor=COLOUR, linewidth=1.8, zorder=7)


def modelled_points(front: Front) -> npt.NDArray[np.float64]:
    """Coordinates of the modelled front's points in the plot, shape (points, 2)."""
    names = [objective.name for objective in front.objectives]
    gaps = np.array([[p.objectives[n].gap for n in names] for p in front.modelled])
    return gaps - _origin(front, names)


def _origin(front: Front, names: list[str]) -> npt.NDArray[np.float64]:
    """The origin of the plot's axes, as a difference from the base model."""
    base = front.point(BASE_NUMBER)
    # 0 is as far below the base model as the base model is above 0
    return -np.array([plotted(front, base, name).value for name in names])
