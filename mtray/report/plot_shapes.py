"""Lines of a plot that are computed from points."""

from __future__ import annotations

import numpy as np


def staircase(xy: np.ndarray, high_is_better: tuple[bool, bool]) -> np.ndarray:
    """The border of the region that the points, shape (k, 2) and sorted by x, dominate: shape (2k -
    1, 2).

    The corner between two neighbours has the worse value of the two in each objective, so both
    dominate it.
    """
    worse = [np.minimum if high else np.maximum for high in high_is_better]
    corners = np.stack([worse[i](xy[:-1, i], xy[1:, i]) for i in range(2)], axis=1)
    steps = np.empty((max(0, 2 * len(xy) - 1), 2))
    steps[0::2], steps[1::2] = xy, corners
    return steps
