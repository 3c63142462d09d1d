"""Places labels beside the points of a plot, where they cover least."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

OUTLINE = withStroke(linewidth=2.5, foreground="white")  # lines may pass behind a label
# offsets of a label from its point, in points, the best first
OFFSETS = [(6, 6), (6, -12), (-6, 6), (-6, -12), (0, 11), (0, -17), (24, 20), (-24, 20), (24, -28)]


def _distances(box: Bbox, xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Pixels between a box and points, shape (n, 2) -> (n,); 0 if a point lies inside."""
    apart = np.clip(xy, box.min, box.max) - xy
    return np.asarray(np.hypot(apart[:, 0], apart[:, 1]))


@dataclass
class Labels:
    """Labels beside points, whose pixels are in `points` by number; `taken` are the boxes of labels
    placed so far."""

    canvas: FigureCanvasAgg
    axes: Axes
    points: dict[int, Any]
    taken: list[Bbox] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = np.array(list(self.points))
        self._pixels = np.array(list(self.points.values()), dtype=np.float64).reshape(-1, 2)

    def place(self, number: int, text: str, look: dict[str, Any], droppable: bool = False) -> None:
        """Place one label where it covers the fewest points and labels. A `droppable` label is
        omitted if it would cover another label or leave the plot."""
        x, y = self.axes.transData.inverted().transform(self.points[number])
        best: tuple[float, Any, Bbox] | None = None
        for dx, dy in OFFSETS:
            note = self.axes.annotate(
                text, (x, y), (dx, dy),
                textcoords="offset points", va="baseline", zorder=8,
                ha="left" if dx > 0 else "right" if dx < 0 else "center",
                path_effects=[OUTLINE], **({"fontsize": 9} | look),
            )  # fmt: skip
            note.set_in_layout(False)  # it is placed after the layout is fixed
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
        """Penalty of a position: labels and points that it covers, neighbours that it might be read
        as labelling, edges that it crosses."""
        inside, around = self.axes.get_window_extent(), box.padded(8)
        others = self._pixels[self._numbers != number]
        covered = (others >= around.min) & (others <= around.max)
        (own,) = _distances(box, self._pixels[self._numbers == number])
        clashes: float = 4 * sum(box.overlaps(other) for other in self.taken)
        clashes += int(covered.all(axis=1).sum())
        clashes += 2 * bool((_distances(box, others) < own).any())
        clashes += 8 * (box.x0 < inside.x0 or box.x1 > inside.x1 or box.y1 > inside.y1)
        return clashes
