"""A table for a terminal that is wide enough, two or more lines a row for a narrow one, and aligned
plain text, never wrapped, for a file or a pipe."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from pydantic import BaseModel
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

EMPTY = "-"


@dataclass(frozen=True)
class Sheet:
    """A table whose layout is not chosen yet.

    - `head`, `rows`: text; a column that is empty everywhere should not be there.
    - `title`, `caption`: above it, on a terminal; and what to know of it.
    - `left`: the columns that are aligned left; the others are numbers.
    - `named`: how many columns, the first, name a row. Stacked, they stand without their head, and
      not at all where they are empty.
    - `blocks`: stacked, how many further columns go on a line; the rest is the last line's.
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
    """As a rich table; long names break within."""
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
    """A role's name on two lines where it is long, so that it does not widen every row."""
    return cell.replace("_to_one", "_\nto_one").replace("parallel_only", "parallel_\nonly")


def plain(sheet: Sheet) -> list[str]:
    """As aligned text without colour or frame; columns are two or more spaces apart."""
    return aligned([sheet.head, *sheet.rows])


def stacked(sheet: Sheet, width: int = 80) -> list[str]:
    """For a narrow terminal: a line that names the row, and one for each block, with what is not
    empty, broken between columns where it is longer than `width`."""
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
    """The pieces, with commas between them, on as few lines as they need."""
    lines: list[str] = []
    for place, piece in enumerate(pieces):
        text = piece + ("," if place < len(pieces) - 1 else "")
        if lines and len(lines[-1]) + 1 + len(text) <= width:
            lines[-1] += f" {text}"
        else:
            lines.append(indent + text)
    return lines


def print_sheet(wide: Sheet, console: Console, terminal: Sheet | None = None) -> None:
    """`wide` where the output is none of a person's, `terminal` (the same in shorter words) on a
    terminal, framed where it fits."""
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
    plain = found.model_dump(mode="json")
    print(json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False))


def print_lines(lines: Iterable[str], console: Console) -> None:
    """Text as it is; it is only wrapped on a terminal."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)


def aligned(rows: Sequence[Sequence[str]], left: int | None = None) -> list[str]:
    """Columns side by side, two spaces apart; the first `left` of them (all where it is None) to
    the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = len(widths) if left is None else left
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
