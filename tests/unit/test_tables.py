"""The front on a terminal and in a pipe."""

from io import StringIO
from pathlib import Path

from records_factory import make_baselines, make_run, make_study
from rich.console import Console

from mtray.report.export import FrontResult
from mtray.report.front import build_front
from mtray.report.parameters import parameter_text
from mtray.report.tables import (
    front_cells,
    front_table,
    plain_table,
    score_text,
    short_score_text,
    show_front,
    summary_lines,
)
from mtray.schema import Score


def made_front(records=None, **changes):
    return build_front(records or make_run(10), make_study(**changes), Path("runs/x"))


def shown(front, terminal, width=120):
    out = StringIO()
    files = {"csv": Path("runs/x/front.csv")}
    console = Console(file=out, force_terminal=terminal, width=width, color_system=None)
    show_front(FrontResult(front, files), console)
    return out.getvalue()


def test_numbers():
    score = Score(value=0.6123, low=0.5981, high=0.6259, n=9, signature="x")
    assert score_text(score) == "0.612 [0.598, 0.626]"
    assert short_score_text(score) == "0.612 ±0.014"
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
    lines = plain_table(front)
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
            assert f"{point.objectives['quality'].value:.3f}" in text
    assert front_table(front).row_count == len(front_cells(front)[1])


def test_the_summary_names_knee_gains_notes_and_files():
    front = made_front()
    text = "\n".join(summary_lines(FrontResult(front, {"csv": Path("runs/x/front.csv")})))
    assert f"knee: trial {front.knee}; again with: python -m mtray rerun runs/x" in text
    assert "over the baselines alone" in text
    assert text.count("against ") >= 3
    assert "csv: runs/x/front.csv" in text
    assert "failed: trials 12" in text
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
            assert f"{point.objectives['quality'].value:.3f}" in words
