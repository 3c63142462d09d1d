"""Results of the front's recipes on test segments, which the search did not use, beside the results
on the segments of the search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtray.report.abilities import (
    COMMON,
    AbilitySets,
    ability_sets,
    between_sides,
    common_abilities,
    common_sentence,
    sides_differ,
    with_common,
)
from mtray.report.bootstrap_draws import draws_of
from mtray.report.columnar_files import parquet_bytes
from mtray.report.compare import ROLE_NAMES
from mtray.report.differences import Joint, joint
from mtray.report.groups import complete_trials, group_trials
from mtray.report.omissions import omissions
from mtray.report.parameters import Parameters, parameters, weights_of
from mtray.report.printing import aligned
from mtray.report.seed_means import mean_records
from mtray.report.tables import score_text
from mtray.report.units import decimals, in_points
from mtray.schema import Frozen, Role, Score, TrialRecord


class Gap(Frozen):
    """A recipe minus the base model on the same segments, with its 95 % interval."""

    value: float
    low: float
    high: float


class TestedScore(Frozen):
    """One objective on the segments of the search (`dev`) and on the test segments; the differences
    are None for the base model itself."""

    dev: Score
    test: Score
    dev_gap: Gap | None = None
    test_gap: Gap | None = None


class Row(Frozen):
    """One recipe; `number`, `trials` and `recipe` as in a `Point` of the front. `objectives` also
    holds `retention.common` if dev and test do not average the same abilities."""

    number: int
    role: Role
    on_front: bool
    trials: tuple[int, ...]
    recipe: Parameters
    objectives: dict[str, TestedScore]
    test_scores: dict[str, Score]


class TestMeasurement(Frozen):
    """When a trial's model was evaluated on the test segments. `trained`: whether it was trained
    for that; otherwise it is the base model or loaded from stored weights."""

    trial: int
    when: str
    seconds: float
    trained: bool = True


class HeldOut(Frozen):
    """Results on test segments.

    sets: the test segments of every part of the evaluation, in words.
    repeated: number of test requests that are also among those of the search.
    abilities: what retention is the mean of in the recipes' trials, by `dev` and `test`.
    """

    study: str
    run: str
    objectives: tuple[str, ...]
    rows: tuple[Row, ...]
    touched: tuple[TestMeasurement, ...]
    sets: tuple[str, ...]
    repeated: int
    abilities: dict[str, AbilitySets] = {}  # noqa: RUF012  (pydantic copies defaults)
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Side:
    """Means over seeds by the number of a recipe's first trial, and their differences."""

    means: dict[int, TrialRecord]
    joint: Joint

    def score(self, number: int, name: str) -> Score:
        mean = self.means[number]
        return {**mean.scores, **mean.objectives}[name]

    def gap(self, number: int, name: str) -> Gap | None:
        base = next((n for n, mean in self.means.items() if mean.role == "base"), None)
        if base is None or base == number:
            return None
        if name == COMMON:
            own, whole = self.score(number, name), self.score(base, name).value
            # the base model's retention is 1 without an interval, so nothing is paired
            return Gap(value=own.value - whole, low=own.low - whole, high=own.high - whole)
        found = self.joint.difference(number, base, name)
        return Gap(value=found.gap, low=found.low, high=found.high)


def side(folder: Path, records: Sequence[TrialRecord], names: Sequence[str]) -> Side:
    """All complete trials of one folder, compared by their paired draws if they have them."""
    groups, draws = group_trials(complete_trials(records)), draws_of(folder)
    means = {m.number: m for m in mean_records(groups, draws)}
    return Side(means, joint(groups, names, draws))


def rows(
    dev: Side,
    test: Side,
    front: Sequence[int],
    trials: Mapping[int, tuple[int, ...]],
    names: Sequence[str],
) -> tuple[Row, ...]:
    """One row for each tested recipe: the front in its order, then the baselines."""
    order = [n for n in front if n in test.means] + [n for n in test.means if n not in front]
    return tuple(
        Row(
            number=n, role=dev.means[n].role, on_front=n in front, trials=trials[n],
            recipe=parameters(dev.means[n].recipe), test_scores=test.means[n].scores,
            objectives={
                name: TestedScore(
                    dev=dev.score(n, name), test=test.score(n, name),
                    dev_gap=dev.gap(n, name), test_gap=test.gap(n, name),
                )
                for name in names
            },
        )
        for n in order
    )  # fmt: skip


class Compared(Frozen):
    """Dev and test side by side, with comparable retention.

    - `dev`, `test`: records, with `retention.common` among their scores if retention does not
      average the same abilities throughout.
    - `abilities`: what it averages in the tested trials, by side.
    - `extra`: scores to show beside the objectives.
    - `notes`: caveats of the test's measurement.
    """

    dev: tuple[TrialRecord, ...]
    test: tuple[TrialRecord, ...]
    abilities: dict[str, AbilitySets]
    extra: tuple[str, ...]
    notes: tuple[str, ...]


def compared(
    dev: Sequence[TrialRecord],
    test: Sequence[TrialRecord],
    weights: Mapping[str, float],
    folders: tuple[Path, Path],
) -> Compared:
    """`dev` may hold more trials than those tested; `weights` are the abilities' weights, `folders`
    hold the draws of both sides."""
    numbers = {record.number for record in test}
    before, now = ability_sets(r for r in dev if r.number in numbers), ability_sets(test)
    sides = {"dev": before, "test": now}
    notes = (*between_sides(before, now), *omissions(test))
    if not sides_differ(before, now):
        return Compared(dev=tuple(dev), test=tuple(test), abilities=sides, extra=(), notes=notes)
    common = common_abilities((*before, *now))
    return Compared(
        dev=tuple(with_common(dev, common, weights, draws_of(folders[0]))),
        test=tuple(with_common(test, common, weights, draws_of(folders[1]))),
        abilities=sides,
        extra=(COMMON,) if common else (),
        notes=(notes[0], common_sentence(before, now), *notes[1:]),
    )


def gap_text(gap: Gap | None, points: bool = False) -> str:
    """`points`: whether the measure is in points, such as BLEU."""
    if gap is None:
        return "-"
    value, low, high = (f"{v:+.{decimals(points)}f}" for v in (gap.value, gap.low, gap.high))
    return f"{value} [{low}, {high}]"


def _sides(score: TestedScore) -> tuple[Score, Score]:
    return score.dev, score.test


def lines(result: HeldOut) -> list[str]:
    """A table for each objective, dev and test side by side, and when each model used the test
    segments."""
    found = []
    for name in dict.fromkeys(name for row in result.rows for name in row.objectives):
        cells: list[tuple[str, ...]] = [
            ("number", "", f"{name}, dev", "test", "to the base, dev", "test")
        ]
        scores = [s for row in result.rows for s in _sides(row.objectives[name])]
        points = in_points(scores)
        for row in result.rows:
            measured = row.objectives[name]
            number = "base" if row.role == "base" else str(row.number)
            mark = "front" if row.on_front else ROLE_NAMES[row.role]
            dev, test = (score_text(side, scores) for side in _sides(measured))
            gaps = (gap_text(gap, points) for gap in (measured.dev_gap, measured.test_gap))
            cells.append((number, mark, dev, test, *gaps))
        found += [*aligned(cells), ""]
    touched = sorted(touch.when for touch in result.touched)
    trained = sum(touch.trained for touch in result.touched)
    found.append(
        f"the test segments were measured from {touched[0]} to {touched[-1]}, with "
        f"{len(touched)} trials, {trained} of them trained again: {'; '.join(result.sets)}"
    )
    return found + [f"note: {note}" for note in result.notes]


def parquet(result: HeldOut) -> bytes:
    """One flat row for each recipe; an objective `x` has `x_dev`, `x_test` and, as difference to
    the base model, `x_dev_gap`, `x_test_gap`, each with `_low` and `_high`."""
    flat, weights = [], weights_of(row.recipe for row in result.rows)
    for row in result.rows:
        found: dict[str, Any] = {
            "number": row.number,
            "role": row.role,
            "on_front": row.on_front,
            "trials": " ".join(map(str, row.trials)),
            **dict.fromkeys(weights),
            **row.recipe,
        }
        for name, measured in row.objectives.items():
            for part in TestedScore.model_fields:
                value: Score | Gap | None = getattr(measured, part)
                for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
                    found[f"{name}_{part}{end}"] = getattr(value, key) if value else None
        flat.append(found)
    return parquet_bytes(flat)
