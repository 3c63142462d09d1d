"""Forest plots of the papers' reports."""

from io import BytesIO

import pytest

from mtray.papers.forest import ForestPanel, forest_png
from mtray.report.differences import Difference

FOUND = Difference(0.2, 0.1, 0.3)


@pytest.mark.parametrize(("panels", "lines"), [(1, 1), (2, 1), (3, 1), (4, 2), (6, 2)])
def test_three_panels_a_line(panels, lines):
    """A picture is as much higher as it has lines, and no wider than three panels."""
    from matplotlib.image import imread

    made = [ForestPanel(f"m{i}", [FOUND, None]) for i in range(panels)]
    height, width, _ = imread(BytesIO(forest_png(["a", "bb"], made, "title"))).shape
    one, single, _ = imread(BytesIO(forest_png(["a", "bb"], made[:1], "title"))).shape
    assert (height > one) == (lines > 1)
    assert width == pytest.approx(single + 2.7 * 130 * (min(panels, 3) - 1), abs=2)


def test_a_marker_is_filled_where_the_interval_excludes_0():
    kinds = {"apart": FOUND, "not apart": Difference(0.2, -0.1, 0.3), "missing": None}
    pictures = {
        name: forest_png(["a"], [ForestPanel("m", [found])], "title")
        for name, found in kinds.items()
    }
    assert len(set(pictures.values())) == 3
