"""What the front gains over the baselines, as a table."""

from io import StringIO
from pathlib import Path

from records_factory import make_baselines, make_record, make_score, make_study
from rich.console import Console

from mtray.report.baseline_gains import against_lines, against_sheet
from mtray.report.front_builder import build_front
from mtray.report.printing import plain, print_sheet
from mtray.schema import Recipe


def front_of(*searched):
    return build_front([*make_baselines(), *searched], make_study(), Path("run"))


# better than every baseline in quality, and keeps less than the base model
GOOD = make_record(2, 0.70, 0.9)


def test_a_row_for_each_baseline_and_objective():
    front = front_of(GOOD)
    rows = against_sheet(front).rows
    assert [row[:2] for row in rows] == [
        [name, objective]
        for name in ("base model, untouched", "parallel data only", "mono to parallel 1:1")
        for objective in ("quality", "retention")
    ]
    by = {tuple(row[:2]): row[2:] for row in rows}
    assert by["base model, untouched", "quality"] == ["-", "none as good", "-"]
    gain, verdict, number = by["parallel data only", "quality"]
    assert gain.startswith("+0.085 [+0.0") and (verdict, number) == ("better", "2")
    assert by["mono to parallel 1:1", "retention"][0].startswith("+0.240 [")
    lines = "\n".join(against_lines(front))
    assert "1 recipes, 3 baselines and 2 objectives" in lines
    assert "none as good:" in lines and "~" not in lines and "raters" not in lines


def test_a_point_that_is_worse_within_noise_is_marked():
    front = front_of(make_record(2, 0.70, 0.995))
    by = {tuple(row[:2]): row for row in against_sheet(front).rows}
    assert by["base model, untouched", "quality"][-1] == "2~"
    assert any(line.startswith("~:") for line in against_lines(front))


def test_points_of_bleu_have_one_decimal_and_raters_a_column():
    comet = "Unbabel/wmt22-comet-da|comet:2.2.7|weights:0|empty:0-or-min"
    records = [
        make_record(n, role=role, recipe=Recipe(parallel_size=n + 9), objectives={
            "quality": make_score(0.80 + gain, 0.001, comet),
            "bleu": make_score(20 + gain * 100, 0.1),
        })
        for n, role, gain in ((0, "parallel_only", 0.0), (2, "search", 0.0195))
    ]  # fmt: skip
    study = make_study(objectives={"quality": "max", "bleu": "max"})
    front = build_front(records, study, Path("run"))
    sheet = against_sheet(front)
    assert sheet.head[-1] == "raters"
    assert [row[-1] for row in sheet.rows] == ["96%", "-"]
    assert sheet.rows[1][2].startswith("+1.9 [") or sheet.rows[1][2].startswith("+2.0 [")
    assert "(COMET22)" in against_lines(front)[-1]


def test_it_fits_eighty_columns_and_names_a_baseline_once():
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=80, color_system=None)
    sheet = against_sheet(front_of(GOOD), once=True)
    print_sheet(sheet, console)
    text = out.getvalue()
    assert "──" in text and text.count("parallel data only") == 1
    assert all(len(line) <= 80 for line in text.splitlines())
    assert len(plain(against_sheet(front_of(GOOD)))) == 7
