"""The front on a terminal and in a pipe."""

from io import StringIO
from pathlib import Path

import pytest
from records_factory import make_baselines, make_record, make_run, make_score, make_study
from rich.console import Console

from mtray.report.displayed_scores import DisplayedScore, shown_score
from mtray.report.export import FrontResult
from mtray.report.front_builder import build_front
from mtray.report.parameters import parameter_text
from mtray.report.printing import framed, plain
from mtray.report.tables import (
    front_cells,
    front_sheet,
    legend,
    score_text,
    short_text,
    show_front,
    shown_text,
    summary_lines,
)
from mtray.schema import Recipe, Score


def made_front(records=None, against=None, **changes):
    study = make_study(**changes)
    return build_front(records or make_run(10), study, Path("runs/x"), against=against)


def shown(front, terminal, width=120):
    out = StringIO()
    files = {"csv": Path("runs/x/front.csv")}
    console = Console(file=out, force_terminal=terminal, width=width, color_system=None)
    show_front(FrontResult(front, files), console)
    return out.getvalue()


def test_numbers():
    score = Score(value=0.6123, low=0.5981, high=0.6259, n=9, signature="x")
    assert score_text(score) == "0.612 [0.598, 0.626]"
    assert short_text(shown_score(score, False)) == "0.612 ±0.014"
    bleu = Score(value=27.88, low=25.2, high=31.0, n=9, signature="x")
    assert score_text(bleu) == "27.9 [25.2, 31.0]"
    gap = DisplayedScore(0.0127, -0.002, 0.0341, difference=True)
    assert shown_text(gap) == "+0.013 [-0.002, +0.034]" and short_text(gap) == "+0.013 ±0.021"
    points = DisplayedScore(-1.26, -2.04, -0.5, difference=True, points=True)
    assert shown_text(points) == "-1.3 [-2.0, -0.5]"
    assert parameter_text(0.000123456) == "0.000123"
    assert parameter_text(4096) == "4096"
    assert parameter_text("bottom") == "bottom"


def test_rows_are_the_front_then_the_other_baselines():
    front = made_front()
    head, rows = front_cells(front)
    numbers = ["base" if n == -1 else str(n) for n in front.front]
    others = [row[0] for row in rows[len(numbers) :]]
    assert [row[0] for row in rows[: len(numbers)]] == numbers
    assert set(others) | set(numbers) >= {"base", "0", "1"}
    assert all(len(row) == len(head) for row in rows)
    assert [row[1] for row in rows].count("knee") == 1
    assert len(front_cells(front, baselines=False)[1]) == len(numbers)


def test_the_untouched_model_has_no_recipe():
    head, rows = front_cells(made_front(make_baselines()))
    base = next(row for row in rows if row[0] == "base")
    assert base[head.index("learning_rate")] == "-"


def test_plain_text_has_a_line_for_each_point_and_no_frame():
    front = made_front()
    head, rows = front_cells(front)
    lines = plain(front_sheet(front))
    assert len(lines) == len(rows) + 1
    assert lines[0].split() == head
    piped = shown(front, terminal=False, width=40)
    assert "\x1b" not in piped and "─" not in piped
    assert lines[1] in piped.splitlines(), "a piped line is never wrapped"


def test_the_terminal_shows_the_same_numbers():
    front = made_front()
    text = shown(front, terminal=True, width=200)
    for point in front.points:
        if point.on_front:
            assert quality_text(point) in text
    assert framed(front_sheet(front)).row_count == len(front_cells(front)[1])


def quality_text(point):
    """As the tables show it: less the base model's, or its own."""
    if point.role == "base":
        return f"{point.objectives['quality'].value:.3f}"
    return f"{point.objectives['quality'].value - 0.42:+.3f}"


@pytest.mark.parametrize(
    ("against", "head", "row", "cell"),
    [
        (None, "quality_vs_base", "base", "0.420"),
        (None, "quality_vs_base", "0", "+0.195"),
        ("0", "quality_vs_parallel_only", "0", "0.615"),
        ("parallel_only", "quality_vs_parallel_only", "base", "-0.195"),
        ("4", "quality_vs_4", "4", ""),
    ],
)
def test_values_are_differences_to_what_is_compared_with(against, head, row, cell):
    """The base model's quality is .42, parallel data alone has .615; what is compared with is there
    with its own values, also where it is a recipe off the front."""
    head_cells, rows = front_cells(made_front(against=against))
    found = next(r for r in rows if r[0] == row)
    assert found[head_cells.index(head)].startswith(cell)


def test_absolute_values_on_demand():
    front = made_front().model_copy(update={"reference": None})
    head, rows = front_cells(front)
    base, other = (next(r for r in rows if r[0] == n) for n in ("base", "0"))
    assert base[head.index("quality")] == "0.420 [0.410, 0.430]"
    assert other[head.index("quality")] == "0.615 [0.602, 0.628]"  # and of the seeds
    assert not any("less" in line for line in legend(front))


def test_a_second_metric_stands_beside_and_is_marked_where_it_disagrees():
    """The base model has BLEU 8.4 ± .1 and COMET .42 ± .001, so a point of BLEU is worth .01:
    a trial that gains .1 gains 10 deviations, and comparable are 100 * .1 / 3 = 3.3 points."""
    gamed, sound = (
        make_record(n, 0.52, 0.8, half=0.001, recipe=Recipe(parallel_size=n),
                    scores={"bleu.en-uk": make_score(bleu, 0.1)})
        for n, bleu in ((2, 8.5), (3, 18.4))
    )  # fmt: skip
    base = make_record(-1, 0.42, 1.0, "base", half=0.001)
    base = base.model_copy(update={"scores": {"bleu.en-uk": make_score(8.4, 0.1)}})
    front = made_front([base, gamed, sound])
    head, rows = front_cells(front)
    cells = {row[0]: row[head.index("bleu.en-uk_vs_base")] for row in rows}
    assert cells["2"].endswith("!") and cells["2"].startswith("+0.1 ")
    assert cells["3"].startswith("+10.0") and "!" not in cells["3"]
    assert any(line.startswith("!: the two quality metrics disagree") for line in legend(front))
    assert "trial 2: quality +0.1 [" in front.notes[0] and "trial 3" not in front.notes[0]


def test_the_summary_names_knee_gains_notes_and_files():
    front = made_front()
    text = "\n".join(summary_lines(FrontResult(front, {"csv": Path("runs/x/front.csv")})))
    assert f"knee: trial {front.knee}; to train it again: python -m mtray rerun runs/x" in text
    assert "over the baselines alone" in text
    assert "csv: runs/x/front.csv" in text
    assert "failed: trial 12" in text
    assert all(note in text for note in front.notes)


def test_names_with_brackets_are_not_markup():
    front = made_front().model_copy(update={"study": "[bold]x[/bold]"})
    assert "[bold]x" in shown(front, terminal=True, width=200)


def test_a_narrow_terminal_loses_no_number():
    front = made_front()
    text = shown(front, terminal=True, width=80)
    assert "…" not in text
    words = text.replace("\n", " ").split()
    for point in front.points:
        if point.on_front and point.role == "search":
            assert parameter_text(point.recipe["learning_rate"]) in words
            assert quality_text(point) in words
