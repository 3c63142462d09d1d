"""Draws what a study prefers into the plot of its front: the region that misses a limit, and the
line of recipes that are worth as much as the recommended one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from mtray.report.displayed_scores import plotted, reference_point
from mtray.report.front import Front, Objective
from mtray.report.plot_modelled import COLOUR
from mtray.schema import Preference

SHADE, EDGE = "#a8adb4", "#5b6472"
FAR = 100.0  # widths of the points' range that the shade reaches beyond a limit


def draw_limits(axes: Axes, front: Front) -> None:
    """Shades what misses a limit, from its line on. A limit within the points' range beyond them
    widens the axes, so that it can be seen."""
    for place, limit in _limits(front):
        objective = front.objectives[place]
        values = [plotted(front, p, objective.name).value for p in front.points]
        reach = float(np.ptp(values)) or abs(limit) or 1.0
        below = objective.sense == "max"
        start, long = (limit - FAR * reach if below else limit), FAR * reach
        line, transform = (
            (axes.axvline, axes.get_xaxis_transform())
            if place == 0
            else (axes.axhline, axes.get_yaxis_transform())
        )
        corner, size = ((start, 0.0), (long, 1.0)) if place == 0 else ((0.0, start), (1.0, long))
        # an artist, and no patch: it must not move the axes' limits
        axes.add_artist(
            Rectangle(corner, *size, transform=transform, facecolor=SHADE, alpha=0.22, zorder=0)
        )
        if min(values) - reach <= limit <= max(values) + reach:
            line(limit, color=EDGE, linewidth=1.1, zorder=1)


def draw_equal_worth(axes: Axes, front: Front, at: tuple[float, float]) -> None:
    """A dotted line through the recommended recipe, along which worth stays the same; pale ones for
    the ends of weights that are intervals. Nothing with other than two objectives."""
    for across, up, pale in _slopes(front):
        alpha, width = (0.55, 1.0) if pale else (0.9, 1.4)
        look: dict[str, Any] = {
            "color": COLOUR,
            "linestyle": (0, (1, 2)),
            "linewidth": width,
            "alpha": alpha,
        }
        if up == 0:
            axes.axvline(at[0], zorder=3, **look)
        else:
            axes.axline(at, slope=-across / up, zorder=3, **look)


def preference_legend(front: Front) -> list[str]:
    """Words for the legend of what was drawn."""
    prefer = front.answer.prefer if front.answer is not None else {}
    names = [o.name for o in front.objectives[:2]]
    limits = [f"{n} {p.limit_text}" for n, p in prefer.items() if n in names and _has(p)]
    words = [f"shaded: misses {' or '.join(limits)}"] if limits else []
    slopes = list(_slopes(front))
    if slopes:
        pale = " (pale: at the ends of the weights)" if len(slopes) > 1 else ""
        words.append(f"dotted: worth as much as the answer{pale}")
    return words


def _has(preference: Preference) -> bool:
    return preference.limit is not None


def _limits(front: Front) -> Iterator[tuple[int, float]]:
    """The place of each objective on an axis that has a limit, and the limit on that axis."""
    if front.answer is None:
        return
    origin = reference_point(front)
    for place, objective in enumerate(front.objectives[:2]):
        preference = front.answer.prefer.get(objective.name)
        if preference is not None and preference.limit is not None:
            base = 0.0 if origin is None else origin.objectives[objective.name].value
            yield place, preference.limit - base


def _slopes(front: Front) -> Iterator[tuple[float, float, bool]]:
    """The worth of one unit of x and of one of y, and whether that is an end of the weights."""
    answer = front.answer
    if answer is None or len(front.objectives) != 2 or not all(answer.scale.values()):
        return
    if all(p.weight is None for p in answer.prefer.values()):
        return
    first, second = front.objectives
    x, y = _unit(front, first), _unit(front, second)
    yield answer.weights[first.name] * x, answer.weights[second.name] * y, False
    one, other = (
        answer.prefer.get(o.name, Preference()).weight or (1.0, 1.0) for o in front.objectives
    )
    if one[0] != one[1] or other[0] != other[1]:
        yield one[0] * x, other[1] * y, True
        yield one[1] * x, other[0] * y, True


def _unit(front: Front, objective: Objective) -> float:
    assert front.answer is not None
    return (1 if objective.sense == "max" else -1) / front.answer.scale[objective.name]
