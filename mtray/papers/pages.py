"""A preset's set-up and report as tables and as a Markdown page."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mtray.papers.preset import Preset, Scale
from mtray.papers.results import Report
from mtray.report.printing import Sheet


def setup_sheet(preset: Preset, scale: Scale) -> Sheet:
    """What the paper did, beside what this scale does."""
    rows = [[row, sides["paper"], sides[scale]] for row, sides in preset.setup.items()]
    head = ["", f"paper ({preset.paper})", f"here ({scale})"]
    return Sheet(head, rows, title="Set-up", left=frozenset(head))


def needs_sheet(preset: Preset, scale: Scale, data: Path | None) -> Sheet:
    """The data that a scale reads, where they come from, and whether they are there."""
    rows = []
    for name, need in preset.needs_at(scale).items():
        lacking = need.missing(data)
        state = f"missing: {', '.join(lacking)}" if lacking else "there"
        rows.append([name, need.what, need.source, need.licence, state if need.files else "set-up"])
    head = ["data", "what", "from", "licence", "state"]
    return Sheet(head, rows, title="Data", left=frozenset(head))


def markdown(report: Report, figures: str) -> str:
    """The report as Markdown; `figures`: the beginning of the figures' file names."""
    blocks = [_block(part) for part in report.parts]
    blocks += [f"![{name}]({figures}{name}.png)" for name in report.figures]
    return "\n\n".join(blocks) + "\n"


def _block(part: Sheet | str) -> str:
    if isinstance(part, str):
        return part
    lines = [_row(part.head), _row("---" for _ in part.head), *map(_row, part.rows)]
    parts = [part.title and f"### {part.title}", "\n".join(lines), part.caption]
    return "\n\n".join(filter(None, parts))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
