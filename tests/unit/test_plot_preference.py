"""The picture of a preference: what misses a limit is shaded, and the line of equal worth."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from records_factory import make_study
from surface_factory import SPACE, make_run

from mtray.report.front_builder import build_front
from mtray.report.page_front import page_front
from mtray.report.plot_preference import draw_equal_worth, draw_limits, preference_legend
from mtray.report.plots import front_png
from mtray.schema import Preference


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    run = make_run(3, noise=0.002, seed=3)
    return build_front(
        run.records, make_study(), tmp_path_factory.mktemp("a"), run.draws, None, SPACE
    )


def preferring(front, **prefer):
    found = {name: Preference.model_validate(p) for name, p in prefer.items()}
    weights = {
        n: found[n].weight[0] if n in found and found[n].weight else 1.0 for n in front.answer.scale
    }
    answer = front.answer.model_copy(update={"prefer": found, "weights": weights})
    return front.model_copy(update={"answer": answer})


def drawn(front, still=True):
    axes = Figure().add_subplot()
    axes.plot([-0.1, 0.1], [-0.5, 0.0])
    before = axes.get_xlim(), axes.get_ylim()
    draw_limits(axes, front)
    draw_equal_worth(axes, front, (0.02, -0.1))
    assert not still or (axes.get_xlim(), axes.get_ylim()) == before, "shade moves no axis"
    shades = [a for a in axes.get_children() if isinstance(a, Rectangle) and a.get_alpha() == 0.22]
    return shades, axes.lines[1:]


def test_without_a_preference_nothing_is_drawn(front):
    assert drawn(front) == ([], [])
    assert preference_legend(front) == []


@pytest.mark.parametrize(
    "prefer, edge",
    [
        ({"retention": {"at_least": 0.9}}, (None, -0.1)),
        ({"quality": {"at_least": 0.62}}, (0.02, None)),
    ],
)
def test_what_misses_a_limit_is_shaded(front, prefer, edge):
    """Axes are differences from the base model, which has .6 and 1."""
    found = preferring(front, **prefer)
    (shade,), (line,) = drawn(found)
    if edge[0] is None:
        assert shade.get_y() + shade.get_height() == pytest.approx(edge[1])
        assert np.ravel(line.get_ydata())[0] == pytest.approx(edge[1])
    else:
        assert shade.get_x() + shade.get_width() == pytest.approx(edge[0])
        assert np.ravel(line.get_xdata())[0] == pytest.approx(edge[0])
    name, wanted = next(iter(found.answer.prefer.items()))
    assert preference_legend(found) == [f"shaded: misses {name} {wanted.limit_text}"]
    absolute = found.model_copy(update={"reference": None})
    (shade,), _ = drawn(absolute, still=False)
    end = (
        shade.get_y() + shade.get_height() if edge[0] is None else shade.get_x() + shade.get_width()
    )
    assert end == pytest.approx(wanted.limit)


def test_the_line_of_equal_worth_has_the_slope_of_the_weights(front):
    scale = front.answer.scale
    _, (line,) = drawn(preferring(front, quality={"weight": 3}))
    assert line.get_slope() == pytest.approx(-3 * scale["retention"] / scale["quality"])
    assert line.get_xy1() == (0.02, -0.1)
    _, (upright,) = drawn(preferring(front, retention={"weight": 0}))
    assert list(upright.get_xdata()) == [0.02, 0.02]


def test_an_interval_has_a_line_for_each_end(front):
    found = preferring(front, quality={"weight": [1, 4]})
    _, lines = drawn(found)
    unit = front.answer.scale["retention"] / front.answer.scale["quality"]
    assert [line.get_slope() for line in lines[1:]] == pytest.approx([-unit, -4 * unit])
    assert preference_legend(found) == [
        "dotted: worth as much as the answer (pale: at the ends of the weights)"
    ]


def test_the_whole_picture_and_the_page_have_it(front):
    found = preferring(front, retention={"at_least": 0.9, "weight": 2})
    assert front_png(found, 60)[:4] == b"\x89PNG"
    assert front_png(found, 60) != front_png(front, 60)
    data = page_front(found)["answer"]
    assert data["prefer"]["retention"] == {"at_least": 0.9, "at_most": None, "weight": [2.0, 2.0]}
    assert data["weights"] == {"quality": 1.0, "retention": 2.0}
