"""A point's numbers as displayed: as differences from the front's reference, with paired intervals,
or as they are."""

from __future__ import annotations

from dataclasses import dataclass

from mtray.report.compare import recipe_name
from mtray.report.differences import Difference
from mtray.report.front import Front, Objective, Point
from mtray.schema import Score


@dataclass(frozen=True)
class DisplayedScore:
    """A value and its 95 % interval.

    - `difference`: whether this is a difference or the value itself.
    - `points`: whether the measure is in points, whose later decimals say little.
    """

    value: float
    low: float
    high: float
    difference: bool = False
    points: bool = False


def shown_score(score: Score, points: bool) -> DisplayedScore:
    return DisplayedScore(score.value, score.low, score.high, points=points)


def shown_difference(found: Difference, points: bool) -> DisplayedScore:
    return DisplayedScore(found.gap, found.low, found.high, True, points)


def points_on(front: Front, name: str) -> bool:
    """Whether a measure of the front is in points."""
    return name in front.in_points


def reference_point(front: Front) -> Point | None:
    """The point that values are shown as differences to; None if they are shown as they are."""
    return None if front.reference is None else front.point(front.reference)


def shown(front: Front, point: Point, name: str) -> DisplayedScore | None:
    """One measure of a point: its difference from the reference. For the reference itself, or
    without one, the value; None if it was not measured."""
    score = {**point.scores, **point.objectives}.get(name)
    if score is None or front.reference in (None, point.number):
        return None if score is None else shown_score(score, points_on(front, name))
    found = point.differences.get(front.reference, {}).get(name)
    return None if found is None else shown_difference(found, points_on(front, name))


def plotted(front: Front, point: Point, name: str) -> DisplayedScore:
    """An objective's value on an axis, where the reference is at 0."""
    if point.number == front.reference:
        return DisplayedScore(0, 0, 0, difference=True)
    found = shown(front, point, name)
    assert found is not None, f"{name} is no objective"
    return found


def head(front: Front, name: str) -> str:
    """A column's name, such as `quality_vs_base`."""
    reference = reference_point(front)
    if reference is None:
        return name
    return f"{name}_vs_{reference.role if reference.role != 'search' else reference.number}"


def whose(point: Point) -> str:
    """For example `the base model's`, `trial 7's`."""
    if point.role == "base":
        return "the base model's"
    name = recipe_name(point.role, point.number)
    return f"{name}'s" if point.role == "search" else f"that of “{name}”"


def axis_label(front: Front, objective: Objective) -> str:
    """The label of an axis, on two lines if it shows differences."""
    reference = reference_point(front)
    if reference is None:
        return objective.label
    return f"{objective.measure}\nminus {whose(reference)}, {better(objective)}"


def better(objective: Objective) -> str:
    return f"{'higher' if objective.sense == 'max' else 'lower'} is better"


def interval_name(front: Front) -> str:
    """A description of the intervals."""
    if front.reference is None:
        return "95 % interval"
    return "paired 95 % interval" if front.paired else "95 % interval of the difference"
