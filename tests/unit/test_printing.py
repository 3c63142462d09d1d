"""Tables for a wide terminal, a narrow one, and no terminal."""

from io import StringIO

import pytest
from rich.console import Console

from mtray.report.printing import Sheet, framed, plain, print_sheet, stacked

SHEET = Sheet(
    ["number", "role", "quality_vs_base", "seeds", "rate"],
    [
        ["7", "search", "+0.1", "2", "3e-4"],
        ["base", "base", "0.4", "-", "-"],
        ["", "-", "1", "1", "-"],
    ],
    title="two [b]recipes[/b]",
    caption="what they are",
    left=frozenset({"role"}),
    named=2,
    blocks=(2,),
)


def test_plain_columns_are_aligned():
    assert plain(SHEET) == [
        "number  role    quality_vs_base  seeds  rate",
        "7       search  +0.1             2      3e-4",
        "base    base    0.4              -      -",
        "        -       1                1      -",
    ]


def test_stacked_names_the_row_then_a_line_for_each_block():
    """What is empty is left out, with its name; a row without a name has no line for it."""
    assert stacked(SHEET) == [
        "7  search",
        "    quality +0.1, seeds 2",
        "    rate 3e-4",
        "base  base",
        "    quality 0.4",
        "    quality 1, seeds 1",
    ]


def test_a_long_block_is_broken_between_columns():
    sheet = Sheet(["n", "first", "second", "third"], [["1", "0.1 ±0.2", "0.3 ±0.4", "5"]])
    assert stacked(sheet, 36) == ["1", "    first 0.1 ±0.2, second 0.3 ±0.4,", "    third 5"]
    assert stacked(sheet, 30)[1:] == ["    first 0.1 ±0.2,", "    second 0.3 ±0.4, third 5"]


@pytest.mark.parametrize(
    ("terminal", "width", "holds", "lacks"),
    [
        (True, 120, ["──", "two [b]recipes[/b]", "what they are", "vs base"], ["quality +0.1"]),
        (True, 24, ["quality +0.1", "two [b]recipes", "what they are"], ["──"]),
        (False, 20, plain(SHEET), ["──", "two", "what they are"]),
    ],
)
def test_the_layout_is_that_of_the_output(terminal, width, holds, lacks):
    out = StringIO()
    console = Console(file=out, force_terminal=terminal, width=width, color_system=None)
    print_sheet(SHEET, console)
    assert all(text in out.getvalue() for text in holds)
    assert not [text for text in lacks if text in out.getvalue()]


def test_a_frame_keeps_every_cell():
    table = framed(SHEET)
    assert table.row_count == 3
    assert [str(c.header) for c in table.columns][2] == "quality\nvs base"
