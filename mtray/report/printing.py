"""Layouts of a table: framed for a wide terminal, two or more lines a row for a narrow one, and
aligned plain text, never wrapped, for a file or a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from pydantic import BaseModel
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from mtray.streams import json_text

EMPTY = "-"


@dataclass(frozen=True)
class Sheet:
    """A table without a layout.

    - `head`, `rows`: text; omit a column that is empty everywhere.
    - `title`, `caption`: above the table, on a terminal; and a note on it.
    - `left`: the left-aligned columns; the others are numbers.
    - `named`: number of leading columns that identify a row. Stacked, they appear without their
      head, and not at all if empty.
    - `blocks`: stacked, the numbers of further columns per line; the rest go on the last line.
    - `styles`: of the rows.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    caption: str = ""
    left: frozenset[str] = frozenset()
    named: int = 1
    blocks: tuple[int, ...] = ()
    styles: Sequence[str] = field(default=())


def framed(sheet: Sheet) -> Table:
    """The sheet as a rich table; long names are broken."""
    table = Table(
        title=escape(sheet.title) or None,
        caption=escape(sheet.caption) or None,
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    for name in sheet.head:
        table.add_column(_broken(name), justify="left" if name in sheet.left else "right")
    for place, row in enumerate(sheet.rows):
        style = sheet.styles[place] if sheet.styles else None
        table.add_row(*map(escape, map(_broken_role, row)), style=style)
    return table


def _broken(name: str) -> str:
    parts = name.replace("retention.", "retention.\n").split("_vs_")
    return "\nvs ".join(part.replace("_", "_\n") for part in parts)


def _broken_role(cell: str) -> str:
    """A long role name on two lines, so that it does not widen every row."""
    return cell.replace("_to_one", "_\nto_one").replace("parallel_only", "parallel_\nonly")


def plain(sheet: Sheet) -> list[str]:
    """Aligned text without colour or frame; columns are two or more spaces apart."""
    return aligned([sheet.head, *sheet.rows])


def stacked(sheet: Sheet, width: int = 80) -> list[str]:
    """For a narrow terminal: a line that identifies the row, and one for each block with its
    non-empty cells. Lines longer than `width` are broken between columns."""
    ends = list(accumulate([sheet.named, *sheet.blocks]))
    lines = []
    for row in sheet.rows:
        name = "  ".join(cell for cell in row[: sheet.named] if cell not in ("", EMPTY))
        lines += [name] if name else []
        for start, end in zip(ends, [*ends[1:], len(sheet.head)], strict=True):
            head = [name.partition("_vs_")[0] for name in sheet.head[start:end]]
            named = zip(head, row[start:end], strict=True)
            lines += _filled([f"{name} {cell}" for name, cell in named if cell != EMPTY], width)
    return lines


def _filled(pieces: Sequence[str], width: int, indent: str = "    ") -> list[str]:
    """The pieces, separated by commas, on as few lines as possible."""
    lines: list[str] = []
    for place, piece in enumerate(pieces):
        text = piece + ("," if place < len(pieces) - 1 else "")
        if lines and len(lines[-1]) + 1 + len(text) <= width:
            lines[-1] += f" {text}"
        else:
            lines.append(indent + text)
    return lines


def print_sheet(wide: Sheet, console: Console, terminal: Sheet | None = None) -> None:
    """Print `wide` if the output is no terminal; otherwise `terminal` (the same with shorter
    texts), framed if it fits."""
    if not console.is_terminal:
        print_lines(plain(wide), console)
        return
    shown = terminal or wide
    table = framed(shown)
    needed = Measurement.get(console, console.options.update(max_width=999), table).maximum
    if needed <= console.width:
        console.print(table)
        return
    if shown.title:
        print_lines([shown.title], console)
    print_lines([*stacked(shown, console.width), *[shown.caption] * bool(shown.caption)], console)


def print_json(found: BaseModel) -> None:
    """A report as JSON."""
    print(json_text(found.model_dump(mode="json"), sys.stdout))


def print_lines(lines: Iterable[str], console: Console) -> None:
    """Print text as it is; it is wrapped only on a terminal."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)


def aligned(rows: Sequence[Sequence[str]], left: int | None = None) -> list[str]:
    """Aligned columns, two spaces apart; the first `left` of them (None: all) left-aligned, the
    others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = len(widths) if left is None else left
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def duration_text(seconds: float) -> str:
    """For example `12s` or `3m04s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def counted(count: int, noun: str) -> str:
    """For example `no trials`, `1 trial` or `2 trials`."""
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"
