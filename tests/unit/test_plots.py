"""The picture and the page: they are made for any number of points, and no text of a record becomes
markup."""

import json
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from records_factory import make_baselines, make_record, make_run, make_study, with_third

from mtray.report.front_builder import build_front
from mtray.report.page_front import page_front
from mtray.report.plot_shapes import staircase
from mtray.report.plots import draw_front, front_png, label_front
from mtray.report.static_page import front_page

THREE = {"quality": "max", "retention": "max", "off_target": "min"}
RUNS = {
    "a sweep": (make_run(12), {}),
    "baselines alone": (make_baselines(), {}),
    "one point": ([make_record(4)], {}),
    "equal points": ([make_record(4), make_record(5)], {}),
    "three objectives": (with_third(make_run(12)), {"objectives": THREE}),
    "without the base model": (make_run(12)[1:], {}),
}


def spots_of(axes):
    """Where points are drawn, in the axes' units."""
    drawn = [c for c in axes.collections if isinstance(c, PathCollection)]
    return [tuple(xy) for c in drawn for xy in c.get_offsets().tolist()]


def test_axes_and_points_show_differences_to_the_reference():
    """Less the base model's .42 and 1.0; the base model itself is at 0."""
    front = build_front(make_run(12), make_study(), Path("run"))
    figure = Figure()
    axes = figure.add_subplot()
    draw_front(figure, axes, front)
    assert axes.get_xlabel() == (
        "quality: COMET (mtray-comet-tiny)\nminus the base model's, higher is better"
    )
    spots = spots_of(axes)
    assert (0, 0) in spots
    assert any(xy == pytest.approx((0.615 - 0.42, 0.58 - 1)) for xy in spots)
    absolute = front.model_copy(update={"reference": None})
    axes = Figure().add_subplot()
    draw_front(axes.figure, axes, absolute)
    assert axes.get_xlabel() == "quality: COMET (mtray-comet-tiny), higher is better"
    spots = spots_of(axes)
    assert any(xy == pytest.approx((0.615, 0.58)) for xy in spots) and (0, 0) not in spots


@pytest.mark.parametrize("records, changes", RUNS.values(), ids=list(RUNS))
def test_labels_lie_in_the_picture_and_apart(records, changes):
    figure = Figure(figsize=(8, 5.2), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    front = build_front(records, make_study(**changes), Path("run"))
    draw_front(figure, axes, front)
    label_front(canvas, axes, front)
    canvas.draw()
    notes = [t for t in axes.texts if isinstance(t, Annotation)]
    boxes = [t.get_window_extent(canvas.get_renderer()) for t in notes]
    assert boxes and all(b.x0 >= 0 and b.x1 <= 800 and b.y1 <= 520 for b in boxes)
    assert not [1 for i, b in enumerate(boxes) for other in boxes[:i] if b.overlaps(other)]


@pytest.mark.parametrize("records, changes", RUNS.values(), ids=list(RUNS))
def test_a_picture_of_any_run(records, changes):
    picture = front_png(build_front(records, make_study(**changes), Path("run")), dpi=60)
    pixels = matplotlib.image.imread(BytesIO(picture))
    assert pixels.shape[:2] == (312, 480)
    assert pixels.std() > 0.02, "an empty picture"


def test_staircase_joins_points_where_both_are_as_good():
    steps = staircase(np.array([[0.0, 3.0], [1.0, 2.0], [2.0, 0.0]]), (True, True))
    assert steps.tolist() == [[0, 3], [0, 2], [1, 2], [1, 0], [2, 0]]
    down = staircase(np.array([[0.0, 3.0], [1.0, 2.0]]), (False, False))
    assert down.tolist() == [[0, 3], [1, 3], [1, 2]]
    assert staircase(np.array([[1.0, 2.0]]), (True, True)).tolist() == [[1, 2]]


class Page(HTMLParser):
    """Collects a page's tags and the text of its data element."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.data, self.inside = [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = dict(attrs).get("id") == "data"

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        self.data += data if self.inside else ""


def page_of(records, **changes):
    front = build_front(records, make_study(**changes), Path("run"))
    return front, front_page(front, records)


@pytest.mark.parametrize("records, changes", RUNS.values(), ids=list(RUNS))
def test_the_page_holds_the_front_and_all_trials(records, changes):
    front, text = page_of(records, **changes)
    data = json.loads(Page(text).data)
    assert data["front"] == json.loads(json.dumps(page_front(front)))
    assert [row["number"] for row in data["table"]["rows"]] == [r.number for r in records]


def test_the_page_asks_for_nothing():
    _, text = page_of(make_run(3))
    page = Page(text)
    assert "://" not in text
    links = {attrs[name] for _, attrs in page.tags for name in ("src", "href") if name in attrs}
    assert links == {"data:,", "#app"}
    assert not re.search(r"@import|url\(|fetch\(|innerHTML|eval\(", text)
    policy = [a["content"] for t, a in page.tags if a.get("http-equiv")]
    assert policy and policy[0].startswith("default-src 'none'")
    assert "unsafe" not in policy[0] and "https:" not in policy[0]


def test_text_of_a_record_cannot_become_markup():
    evil = "</script><script>alert(1)</script><!--\u2028&__DATA__"
    record = make_record(2, versions={"torch": evil})
    failed = record.model_copy(update={"number": 3, "state": "failed", "reason": evil})
    front, text = page_of([record, failed])
    _, harmless = page_of([make_record(2)])
    page = Page(text)
    assert [t for t, _ in page.tags] == [t for t, _ in Page(harmless).tags]
    data = json.loads(page.data)
    assert data["front"]["failed"]["3"] == evil == front.versions["torch"]
    assert data["table"]["rows"][1]["reason"] == evil


def test_the_title_is_escaped():
    front, _ = page_of([make_record(2)])
    text = front_page(front.model_copy(update={"study": "<b>"}))
    assert "<title>&lt;b&gt;: Pareto" in text


def test_a_recipe_with_other_parameters_is_shown_too():
    front, _ = page_of([make_record(2)])
    wider = front.points[0].recipe | {"freeze_policy": "bottom", "weight.news": 0.25}
    point = front.points[0].model_copy(update={"recipe": wider})
    text = front_page(front.model_copy(update={"points": (point,)}))
    assert json.loads(Page(text).data)["front"]["points"][0]["recipe"] == wider
