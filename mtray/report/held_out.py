"""What the recipes of the front are worth on segments that no search saw, beside what they were
chosen by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from mtray.report.compare import ROLE_NAMES
from mtray.report.differences import Joint, joint
from mtray.report.draws import draws_of
from mtray.report.groups import complete_trials, group_trials
from mtray.report.means import mean_records
from mtray.report.tables import score_text
from mtray.schema import Frozen, Recipe, Role, Score, TrialRecord


class Gap(Frozen):
    """A recipe minus the base model on the same segments, with its 95 % interval."""

    value: float
    low: float
    high: float


class Measured(Frozen):
    """One objective on the segments of the search (`dev`) and on the others; the differences are
    None for the base model itself."""

    dev: Score
    test: Score
    dev_gap: Gap | None = None
    test_gap: Gap | None = None


class Row(Frozen):
    """One recipe; `number` and `trials` as in a `Point` of the front."""

    number: int
    role: Role
    on_front: bool
    trials: tuple[int, ...]
    recipe: Recipe
    objectives: dict[str, Measured]
    test_scores: dict[str, Score]


class Touch(Frozen):
    """When a trial's model was asked the test segments. `trained`: it was trained for that; else it
    is the base model or that of kept weights."""

    trial: int
    when: str
    seconds: float
    trained: bool = True


class HeldOut(Frozen):
    """`sets`: the test segments of every part of the evaluation, in words. `repeated`: how many of
    the test requests are among those of the search, too."""

    study: str
    run: str
    objectives: tuple[str, ...]
    rows: tuple[Row, ...]
    touched: tuple[Touch, ...]
    sets: tuple[str, ...]
    repeated: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Side:
    """Means over seeds by the number of a recipe's first trial, and their differences."""

    means: dict[int, TrialRecord]
    joint: Joint

    def gap(self, number: int, objective: str) -> Gap | None:
        base = next((n for n, mean in self.means.items() if mean.role == "base"), None)
        if base is None or base == number:
            return None
        found = self.joint.difference(number, base, objective)
        return Gap(value=found.gap, low=found.low, high=found.high)


def side(folder: Path, records: Sequence[TrialRecord], names: Sequence[str]) -> Side:
    """All complete trials of one folder, compared by their paired draws where they have them."""
    groups, draws = group_trials(complete_trials(records)), draws_of(folder)
    means = {m.number: m for m in mean_records(groups, draws)}
    return Side(means, joint(groups, names, draws))


def rows(
    dev: Side, test: Side, front: Sequence[int], trials: Mapping[int, tuple[int, ...]],
    names: Sequence[str],
) -> tuple[Row, ...]:  # fmt: skip
    """One row for each recipe that was tested, the front in its order and then the baselines."""
    order = [n for n in front if n in test.means] + [n for n in test.means if n not in front]
    return tuple(
        Row(
            number=n, role=dev.means[n].role, on_front=n in front, trials=trials[n],
            recipe=dev.means[n].recipe, test_scores=test.means[n].scores,
            objectives={
                name: Measured(
                    dev=dev.means[n].objectives[name], test=test.means[n].objectives[name],
                    dev_gap=dev.gap(n, name), test_gap=test.gap(n, name),
                )
                for name in names
            },
        )
        for n in order
    )  # fmt: skip


def gap_text(gap: Gap | None) -> str:
    return "-" if gap is None else f"{gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"


def lines(result: HeldOut) -> list[str]:
    """A table for each objective, dev and test side by side, and what was touched when."""
    found = []
    for name in result.objectives:
        cells = [("number", "", f"{name}, dev", "test", "to the base, dev", "test")]
        for row in result.rows:
            measured = row.objectives[name]
            number = "base" if row.role == "base" else str(row.number)
            mark = "front" if row.on_front else ROLE_NAMES[row.role]
            cells.append(
                (number, mark, score_text(measured.dev), score_text(measured.test),
                 gap_text(measured.dev_gap), gap_text(measured.test_gap))
            )  # fmt: skip
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        found += [
            "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
            for row in cells
        ]
        found.append("")
    touched = sorted(touch.when for touch in result.touched)
    trained = sum(touch.trained for touch in result.touched)
    found.append(
        f"the test segments were touched from {touched[0]} to {touched[-1]}, by "
        f"{len(touched)} trials, {trained} of them trained again: {'; '.join(result.sets)}"
    )
    return found + [f"note: {note}" for note in result.notes]


def parquet(result: HeldOut) -> bytes:
    """One flat row for each recipe; an objective `x` has `x_dev`, `x_test` and, as minus the base
    model, `x_dev_gap`, `x_test_gap`, each with `_low` and `_high`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    flat = []
    for row in result.rows:
        found: dict[str, Any] = {
            "number": row.number, "role": row.role, "on_front": row.on_front,
            "trials": " ".join(map(str, row.trials)), **row.recipe.model_dump(mode="json"),
        }  # fmt: skip
        for name, measured in row.objectives.items():
            for part in Measured.model_fields:
                value: Score | Gap | None = getattr(measured, part)
                for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
                    found[f"{name}_{part}{end}"] = getattr(value, key) if value else None
        flat.append(found)
    buffer = BytesIO()
    pq.write_table(pa.table({key: [row[key] for row in flat] for key in flat[0]}), buffer)
    return buffer.getvalue()
