"""Early stopping of trials with several objectives. Uses no files, no Ray and no clock.

Trials are compared only at the same rung (the same share of their steps). Quality rises and
retained abilities fall with every step, so a comparison at different steps would always favour the
shorter training. A trial ends when its quality is among the worst of the rung *and* several trials
are better in every objective by a margin. An ability alone never ends a trial. The first rung never
does either, since a little fine-tuning may hurt quality before it helps. Floors are the exception:
a trial that is below one by the floors' margin ends at any rung.

Standard errors of two trials are combined as if independent. They are measured on the same
segments, so a margin is too wide rather than too narrow: over the trials of a default sweep, the
paired error of a difference was 0.4 of the combined one in quality and 0.85 of it in retention. A
margin of one standard error ended 1 of 100 trials of the recipe table, hence the default of 0
(`benchmarks/rungs.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot

from mtray.schema import EarlyStopping, Estimate, Sense, TrialRecord

QUALITY = "quality"  # the objective that ranks trials at a rung; the first one if it is missing


@dataclass(frozen=True)
class Point:
    """One trial at one rung. `may_end`: False for trials that are measured and compared with but
    always run to their last step (baselines, replicates)."""

    number: int
    objectives: Mapping[str, Estimate]
    may_end: bool = True


@dataclass(frozen=True)
class Decision:
    """`reason` is set whatever the decision. `dominated_by`: numbers of the trials that are better
    in every objective by the margin, ascending."""

    stop: bool
    reason: str
    dominated_by: tuple[int, ...] = ()


def ahead_by(a: Estimate, b: Estimate, sense: Sense, margin: float) -> bool:
    """Whether `a` is better than `b` by more than `margin` combined standard errors."""
    gap = a.value - b.value if sense == "max" else b.value - a.value
    return gap > margin * hypot(a.error, b.error)


def broken_floors(
    rule: EarlyStopping, mine: Point, objectives: Mapping[str, Sense]
) -> dict[str, float]:
    """The floors (ceilings for an objective to be minimised) that are violated by more than the
    floors' margin."""
    return {
        name: floor
        for name, floor in rule.floors.items()
        if ahead_by(
            Estimate(value=floor, error=0),
            mine.objectives[name],
            objectives[name],
            rule.floor_margin,
        )
    }


def can_end(rule: EarlyStopping, rung: int, may_end: bool, others: int) -> bool:
    """Whether any measurement could end a trial here; if not, its worker need not wait for one."""
    return may_end and (bool(rule.floors) or (rung > 0 and others >= rule.others))


def decide(
    rule: EarlyStopping,
    rung: int,
    mine: Point,
    others: Sequence[Point],
    objectives: Mapping[str, Sense],
) -> Decision:
    """Whether the trial ends at `rung` (counted from 0).

    `others` are all other trials measured at this rung: complete, pruned and running ones, in any
    order. Every point holds all `objectives`.
    """
    if not mine.may_end:
        return Decision(False, "measured for comparison, never ended early")
    where = f"rung {rung + 1} (after {rule.rungs[rung]:.0%} of the steps)"
    if broken := broken_floors(rule, mine, objectives):
        return Decision(True, f"{where}: {_floor_text(rule, mine, broken, objectives)}")
    better = dominating(rule, mine, others, objectives)
    if rung == 0:
        return Decision(False, "the first rung ends no trial without a floor", better)
    if len(others) < rule.others:
        reason = f"{len(others)} other trials at this rung, {rule.others} are needed"
        return Decision(False, reason, better)
    lead = QUALITY if QUALITY in objectives else next(iter(objectives))
    value, sense = mine.objectives[lead], objectives[lead]
    above = sum(ahead_by(other.objectives[lead], value, sense, 0) for other in others)
    among = len(others) + 1
    place = f"{lead} {value.value:.3f} has place {above + 1} of {among}"
    if above < (1 - rule.worst) * among:
        return Decision(False, f"{place}, not in the worst {rule.worst:.0%}", better)
    if len(better) < rule.dominating:
        reason = f"{len(better)} trials are better in every objective, {rule.dominating} are needed"
        return Decision(False, reason, better)
    by = "better in every objective"
    by += f" by more than {rule.margin:g} standard errors" if rule.margin else ""
    return Decision(True, f"{where}: {place}, and {_trials(better)} {by}", better)


def dominating(
    rule: EarlyStopping, mine: Point, others: Sequence[Point], objectives: Mapping[str, Sense]
) -> tuple[int, ...]:
    """Numbers of the trials that are better in every objective by the margin, ascending."""
    return tuple(
        sorted(
            other.number
            for other in others
            if all(
                ahead_by(other.objectives[name], mine.objectives[name], sense, rule.margin)
                for name, sense in objectives.items()
            )
        )
    )


def _floor_text(
    rule: EarlyStopping,
    mine: Point,
    broken: Mapping[str, float],
    objectives: Mapping[str, Sense],
) -> str:
    return " and ".join(
        f"{name} {mine.objectives[name].value:.3f} is "
        f"{'below' if objectives[name] == 'max' else 'above'} its floor {floor:g} "
        f"by more than {rule.floor_margin:g} standard errors"
        for name, floor in broken.items()
    )


def _trials(numbers: Sequence[int]) -> str:
    """For example `trials 3, 4 and 9 more are`."""
    shown = ", ".join(map(str, numbers[:3]))
    more = f" and {len(numbers) - 3} more" if len(numbers) > 3 else ""
    return f"trial {shown} is" if len(numbers) == 1 else f"trials {shown}{more} are"


def points_of(
    records: Sequence[TrialRecord], objectives: Mapping[str, Sense]
) -> dict[int, dict[int, Point]]:
    """The measurements stored in records, by rung and number, to restore them after a restart."""
    found: dict[int, dict[int, Point]] = {}
    for record in records:
        for rung in record.rungs:
            if objectives.keys() <= rung.objectives.keys():
                point = Point(record.number, rung.objectives)
                found.setdefault(rung.rung, {})[record.number] = point
    return found


def expected_values(
    pruned: TrialRecord, others: Sequence[TrialRecord], objectives: Mapping[str, Sense]
) -> dict[str, float] | None:
    """Extrapolated final values of a pruned trial, for the sampler alone; never a result.

    Each complete trial that dominated it gives one estimate: that trial's final value shifted by
    the difference between the two trials at the rung. Returns the mean of these, None where there
    are none. It keeps the sampler from suggesting a hopeless recipe again.
    """
    if not pruned.rungs:
        return None
    last = pruned.rungs[-1]
    known = [
        (other, rung)
        for other in others
        if other.number in last.dominated_by and other.state == "complete"
        for rung in other.rungs
        if rung.rung == last.rung and rung.objectives
    ]
    if not known:
        return None
    return {
        name: sum(
            other.objectives[name].value - rung.objectives[name].value + last.objectives[name].value
            for other, rung in known
        )
        / len(known)
        for name in objectives
    }
