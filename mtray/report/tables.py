"""The front for a terminal, a file or a pipe.

`show_front` prints the parts in order; each is also available alone: `show_answer`, `front_sheet`,
`against_sheet`, `summary_lines`. `mtray.report.printing` lays tables out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from rich.console import Console

from mtray.report.answer_text import answer_head, answer_lines, command_lines, expected_sheet
from mtray.report.baseline_gains import against_lines, against_sheet
from mtray.report.compare import recipe_name
from mtray.report.console import new_console
from mtray.report.displayed_scores import (
    DisplayedScore,
    head,
    interval_name,
    reference_point,
    shown,
    shown_score,
    whose,
)
from mtray.report.export import FrontResult
from mtray.report.front import Front, Point
from mtray.report.parameters import Parameters, parameter_text, weights_of
from mtray.report.printing import EMPTY, Sheet, counted, print_lines, print_sheet
from mtray.report.units import decimals, in_points
from mtray.run_files import trial_name, trials_text
from mtray.schema import Recipe, Score, default_of


def score_text(score: Score, beside: Iterable[Score] = ()) -> str:
    """Value and 95 % interval, such as `0.612 [0.598, 0.626]`, with the decimals of the same
    measure's scores `beside` it."""
    return shown_text(shown_score(score, in_points([score, *beside])))


def shown_text(found: DisplayedScore) -> str:
    """The same; a difference has its sign, such as `+0.012 [-0.002, +0.026]`."""
    value, low, high = (_number(v, found) for v in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def short_text(found: DisplayedScore) -> str:
    """Value and the longer side of its 95 % interval, such as `0.612 ±0.014`."""
    side = max(found.high - found.value, found.value - found.low)
    return f"{_number(found.value, found)} ±{side:.{decimals(found.points)}f}"


def _number(value: float, found: DisplayedScore) -> str:
    return f"{value:{'+' if found.difference else ''}.{decimals(found.points)}f}"


# shown even if all recipes have the default
ALWAYS = ("parallel_size", "mono_ratio", "replay_fraction", "frozen_layers", "learning_rate")


def varied_parameters(recipes: Sequence[Parameters]) -> list[str]:
    """The parameters that get a column: the first ones, and those that some recipe sets."""
    names = [*Recipe.model_fields, *weights_of(recipes)]
    return [
        name
        for name in names
        if name in ALWAYS or any(r.get(name) not in (None, default_of(name)) for r in recipes)
    ]


def second_names(front: Front) -> list[str]:
    """The metrics in addition to the optimised ones, without objectives."""
    known = {o.name for o in front.objectives}
    return list(dict.fromkeys(p.metric for p in front.second_metrics if p.metric not in known))


def front_cells(
    front: Front, baselines: bool = True, show: Callable[[DisplayedScore], str] = shown_text
) -> tuple[list[str], list[list[str]]]:
    """Head and rows: the front, best in the first objective first, then the baselines that are not
    on it, and the reference of the differences."""
    measures = [*(o.name for o in front.objectives), *second_names(front)]
    parameters = varied_parameters([p.recipe for p in front.points])
    names = [head(front, name) for name in measures]
    titles = ["number", "mark", "role", *names, "P(front)", "seeds", *parameters]
    listed = [front.point(number) for number in front.front]
    if baselines:
        others = [p for p in front.points if p not in listed]
        listed += [p for p in others if p.role != "search" or p.number == front.reference]
    return titles, [_cells(front, point, measures, parameters, show) for point in listed]


def _cells(
    front: Front,
    point: Point,
    measures: Sequence[str],
    parameters: Sequence[str],
    show: Callable[[DisplayedScore], str],
) -> list[str]:
    return [
        trial_name(point.number),
        "knee" if point.knee else "front" if point.on_front else EMPTY,
        point.role,
        *(_measured(front, point, name, show) for name in measures),
        f"{point.p_front:.2f}",
        EMPTY if point.role == "base" else str(point.replicates),
        *(parameter_text(point.recipe.get(name)) for name in parameters),
    ]


def _measured(front: Front, point: Point, name: str, show: Callable[[DisplayedScore], str]) -> str:
    """A measure, with a mark if it disagrees with the optimised one."""
    found = shown(front, point, name)
    doubted = any(
        pair.metric == name and point.number in pair.disagreements for pair in front.second_metrics
    )
    return EMPTY if found is None else show(found) + (" !" if doubted else "")


def searched_text(front: Front) -> str:
    """How much was searched, for example `9 recipes searched in 12 trials`."""
    return f"{counted(front.searched, 'recipe')} searched in {counted(front.trials, 'trial')}"


def front_sheet(
    front: Front, baselines: bool = True, show: Callable[[DisplayedScore], str] = shown_text
) -> Sheet:
    """The front as a table: framed and with `short_text` about 110 characters wide with two
    objectives and five parameters."""
    names, rows = front_cells(front, baselines, show)
    return Sheet(
        names,
        rows,
        title=f"{front.study}: {counted(len(front.front), 'point')} on the front, "
        f"{searched_text(front)}",
        caption=" ".join(legend(front)),
        left=frozenset({"role", "mark"}),
        named=3,
        blocks=(names.index("seeds") - 2,),
        styles=[{"knee": "bold", EMPTY: "dim"}.get(row[1], "") for row in rows],
    )


def legend(front: Front) -> list[str]:
    """Explanations of the table's numbers and marks, a sentence each."""
    reference, lines = reference_point(front), []
    if reference is not None:
        measures = [*(o.name for o in front.objectives), *second_names(front)]
        lines.append(
            f"{', '.join(measures)}: minus {whose(reference)}, whose row shows its own "
            "values (--absolute: every row)."
        )
    lines += [
        f"±: longer side of the {interval_name(front)}.",
        "P(front): probability of being on the front.",
        "seeds: number of trainings in each mean.",
    ]
    if any(pair.disagreements for pair in front.second_metrics):
        lines.append("!: the two quality metrics disagree about the gain (see the notes).")
    return lines


def summary_lines(result: FrontResult) -> list[str]:
    """Knee and hypervolume of the front, warnings, and paths of the files."""
    front = result.front
    gained = ""
    if front.baseline_hypervolume is not None:
        gained = f", {front.hypervolume - front.baseline_hypervolume:+.4f} over the baselines alone"
    knee = front.point(front.knee)
    lines = [
        f"knee: {recipe_name(knee.role, knee.number)}; to train it again: {knee.command}",
        f"hypervolume: {front.hypervolume:.4f}{gained}",
    ]
    if front.pruned:
        lines.append(f"pruned early, not on the front: {_all_trials(front.pruned)}")
    if front.stopped:
        lines.append(f"stopped by the user, not on the front: {_all_trials(front.stopped)}")
    for number, reason in sorted(front.infeasible.items()):
        lines.append(f"infeasible, not on the front: trial {number}: {reason}")
    if front.failed:
        lines.append(f"failed: {_all_trials(front.failed)}")
    lines += [f"note: {note}" for note in front.notes]
    return lines + [f"{ending}: {path}" for ending, path in sorted(result.files.items())]


def _all_trials(numbers: Collection[int]) -> str:
    return trials_text(sorted(numbers), len(numbers))


def show_answer(front: Front, console: Console) -> None:
    """Print the recommendation, its probability, and the next commands; nothing before there is
    one."""
    if front.answer is None:
        return
    print_lines([*answer_head(front.answer), ""], console)
    print_sheet(expected_sheet(front.answer.against), console)
    print_lines([*answer_lines(front.answer), *command_lines(front.answer.commands), ""], console)


def show_front(result: FrontResult, console: Console | None = None) -> None:
    """Print the front, its gains over the baselines, and the summary: framed on a terminal that is
    wide enough, plain and never wrapped if the output is no terminal."""
    console, front = console or new_console(), result.front
    show_answer(front, console)
    print_sheet(front_sheet(front), console, front_sheet(front, show=short_text))
    if not console.is_terminal:
        print_lines([line for line in legend(front) if not line.startswith("±")], console)
    if front.comparisons:
        print_lines([""], console)
        print_sheet(against_sheet(front), console, against_sheet(front, once=True))
        print_lines(against_lines(front), console)
    print_lines(["", *summary_lines(result)], console)
