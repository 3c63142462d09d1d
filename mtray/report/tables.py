"""The front for a terminal: a table, and lines of plain text where the output is a file or a
pipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from mtray.report.compare import ROLE_NAMES
from mtray.report.export import FrontResult
from mtray.report.front import Front, Point
from mtray.report.records import trial_name
from mtray.schema import Recipe, Score


def score_text(score: Score) -> str:
    """Value and 95 % interval, such as `0.612 [0.598, 0.626]`."""
    digits = 1 if abs(score.value) >= 10 else 3
    return f"{score.value:.{digits}f} [{score.low:.{digits}f}, {score.high:.{digits}f}]"


def short_score_text(score: Score) -> str:
    """Value and the longer side of its 95 % interval, such as `0.612 ±0.014`."""
    digits = 1 if abs(score.value) >= 10 else 3
    side = max(score.high - score.value, score.value - score.low)
    return f"{score.value:.{digits}f} ±{side:.{digits}f}"


def parameter_text(value: object) -> str:
    """A recipe's parameter, three significant digits; `-` where it has no meaning."""
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


# shown even where all recipes have the default
ALWAYS = ("parallel_size", "mono_ratio", "replay_fraction", "frozen_layers", "learning_rate")


def varied_parameters(recipes: Sequence[Recipe]) -> list[str]:
    """The parameters worth a column: the first ones, and those that some recipe sets."""
    return [
        name
        for name, field in Recipe.model_fields.items()
        if name in ALWAYS or any(getattr(r, name) != field.default for r in recipes)
    ]


def front_cells(
    front: Front, baselines: bool = True, show: Callable[[Score], str] = score_text
) -> tuple[list[str], list[list[str]]]:
    """Head and rows: the front, best in the first objective first, then the baselines that are not
    on it."""
    objectives = [o.name for o in front.objectives]
    parameters = varied_parameters([p.recipe for p in front.points])
    head = ["number", "mark", "role", *objectives, "P(front)", "seeds", *parameters]
    shown = [front.point(number) for number in front.front]
    if baselines:
        shown += [p for p in front.points if p.role != "search" and not p.on_front]
    return head, [_cells(point, objectives, parameters, show) for point in shown]


def _cells(
    point: Point, objectives: Sequence[str], parameters: Sequence[str], show: Callable[[Score], str]
) -> list[str]:
    recipe = point.recipe.model_dump()
    untouched = point.role == "base"
    return [
        trial_name(point.number),
        "knee" if point.knee else "front" if point.on_front else "-",
        point.role,
        *(show(point.objectives[name]) for name in objectives),
        f"{point.p_front:.2f}",
        "-" if untouched else str(point.replicates),
        *("-" if untouched else parameter_text(recipe[name]) for name in parameters),
    ]


def searched_text(front: Front) -> str:
    """How much was searched, such as `9 recipes searched in 12 trials`."""
    return f"{front.searched} recipes searched in {front.trials} trials"


def front_table(front: Front, baselines: bool = True) -> Table:
    """The front as a rich table, about 110 characters wide with two objectives and five
    parameters."""
    head, rows = front_cells(front, baselines, short_score_text)
    on = len(front.front)
    table = Table(
        title=f"{escape(front.study)}: {on} points on the front, {searched_text(front)}",
        caption="±: longer side of the 95 % interval. P(front): chance of being on the front. "
        "seeds: how many a mean is over.",
        box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False,
    )  # fmt: skip
    for name in head:
        # long names break at their underscores
        justify: Literal["left", "right"] = "left" if name in ("role", "mark") else "right"
        table.add_column(name.replace("_", "_\n"), justify=justify)
    for row in rows:
        table.add_row(
            *map(escape, _broken_role(row)), style={"knee": "bold", "-": "dim"}.get(row[1])
        )
    return table


def _broken_role(row: list[str]) -> list[str]:
    """A role's name on two lines where it is long, so that it does not widen every row."""
    number, mark, role, *rest = row
    return [
        number,
        mark,
        role.replace("_one_to", "_one_\nto").replace("parallel_", "parallel_\n"),
        *rest,
    ]


def stacked_table(front: Front, baselines: bool = True) -> list[str]:
    """The same for a narrow terminal: two lines for each point, what it scores and its recipe."""
    head, rows = front_cells(front, baselines, short_score_text)
    scored = len(front.objectives) + 2  # and P(front) and seeds
    lines = []
    for number, mark, role, *cells in rows:
        named = [f"{name} {cell}" for name, cell in zip(head[3:], cells, strict=True)]
        lines.append(f"{number:>5} {mark:5} {role}: {', '.join(named[:scored])}")
        if role != "base":
            lines.append(f"{'':12}{', '.join(named[scored:])}")
    return lines


def plain_table(front: Front, baselines: bool = True) -> list[str]:
    """The same as aligned text without colour or frame; columns are two or more spaces apart."""
    head, rows = front_cells(front, baselines)
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    ]


def summary_lines(result: FrontResult) -> list[str]:
    """What the front is worth, what to beware of, and where the files are."""
    front = result.front
    gained = ""
    if front.baseline_hypervolume is not None:
        gained = f", {front.hypervolume - front.baseline_hypervolume:+.4f} over the baselines alone"
    knee = front.point(front.knee)
    name = f"trial {knee.number}" if knee.role == "search" else ROLE_NAMES[knee.role]
    lines = [
        "",
        f"knee: {name}; again with: {knee.command}",
        f"hypervolume: {front.hypervolume:.4f}{gained}",
    ]
    lines += [f"against {comparison.text}" for comparison in front.comparisons]
    if front.pruned:
        lines.append(
            f"pruned early, not on the front: trials {', '.join(map(str, sorted(front.pruned)))}"
        )
    for number, reason in sorted(front.infeasible.items()):
        lines.append(f"infeasible, not on the front: trial {number}: {reason}")
    if front.failed:
        lines.append(f"failed: trials {', '.join(map(str, sorted(front.failed)))}")
    lines += [f"note: {note}" for note in front.notes]
    return lines + [f"{ending}: {path}" for ending, path in sorted(result.files.items())]


def show_front(result: FrontResult, console: Console | None = None) -> None:
    """Print table and summary: framed on a terminal that is wide enough, plain and never wrapped
    where the output is none."""
    console = console or Console()
    if console.is_terminal:
        table = front_table(result.front)
        if (
            Measurement.get(console, console.options.update(max_width=999), table).maximum
            <= console.width
        ):
            console.print(table)
        else:
            console.print("\n".join(stacked_table(result.front)), markup=False, highlight=False)
        for line in summary_lines(result):
            console.print(line, markup=False, highlight=False)
        return
    for line in [*plain_table(result.front), *summary_lines(result)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
