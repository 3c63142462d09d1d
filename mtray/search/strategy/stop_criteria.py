"""Criteria that end a sweep: device-hours spent, or no further gain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mtray.analysis.pareto import hypervolume, maximised, non_dominated
from mtray.analysis.preference import utility
from mtray.analysis.preferred_improvement import raised_reference, units_of_worth
from mtray.report.hypervolume import reference_point
from mtray.schema import Resources, Study, TrialRecord
from mtray.search.strategy.cost_aware import BEYOND

Array = npt.NDArray[np.float64]


def device_hours(records: Sequence[TrialRecord], resources: Resources) -> float:
    """Hours that all trials of this run ran for, including failed attempts, times the number of
    devices that each holds. Time spent waiting for devices does not count."""
    own = [r for r in records if r.taken_from is None and r.trained_as is None]
    seconds = sum(r.total_seconds for r in own)
    return seconds * resources.devices / 3600


def hypervolume_course(records: Sequence[TrialRecord], study: Study) -> list[float]:
    """Hypervolume of the baselines and after each further complete trial, in the order in which
    they ended. All use one reference point, so that increases can be compared. Takes minutes for
    thousands of trials."""
    ordered, searched = _ordered(records)
    if not ordered:
        return []
    values, reference = _maximised(ordered, study)
    first = len(ordered) - searched
    return [hypervolume(values[:count], reference) for count in range(first, len(ordered) + 1)]


def last_gain(
    records: Sequence[TrialRecord], study: Study, patience: int
) -> tuple[float, float] | None:
    """Two values of `hypervolume_course`: before its last `patience` trials, and its last; None if
    it has fewer trials than that.

    If the study prefers limits, of the part of the front that reaches all of them. If no trained
    recipe did before these trials, minus by how much the nearest one missed them, then and now, in
    units of worth: to come nearer is a gain."""
    ordered, searched = _ordered(records)
    if not ordered or searched < patience:
        return None
    values, reference = _maximised(ordered, study)
    before, wanted = values[: len(values) - patience], utility(study.objectives, study.prefer)
    if wanted.floored and len(before):
        anchors = values[: len(values) - searched]
        short = wanted.shortfall(values, units_of_worth(values, anchors))
        short[[r.role == "base" for r in ordered]] = np.inf
        if 0 < (least := short[: len(before)].min()) < np.inf:
            return -float(least), -float(short.min())
        reference = raised_reference(reference, values, wanted.floors, BEYOND)
    return hypervolume(before, reference), hypervolume(values, reference)


def _ordered(records: Sequence[TrialRecord]) -> tuple[list[TrialRecord], int]:
    """The baselines' points, then the searched ones in the order in which they ended, and how many
    those are."""
    complete = _own_points(records)
    searched = sorted((r for r in complete if r.role == "search"), key=lambda r: r.finished)
    return [r for r in complete if r.role != "search"] + searched, len(searched)


def hypervolume_now(records: Sequence[TrialRecord], study: Study) -> float | None:
    """The hypervolume of all complete trials; None if there is none."""
    complete = _own_points(records)
    return float(hypervolume(*_maximised(complete, study))) if complete else None


def outer(records: Sequence[TrialRecord], study: Study) -> list[TrialRecord]:
    """The records that `hypervolume_now` depends on: the baselines, which give its reference point,
    and those that are not dominated. All of them if there is no baseline."""
    points = {r.number: r for r in _own_points(records)}  # of two with a number the later one
    complete = [*points.values()]
    baselines = [r for r in complete if r.role != "search"]
    if not baselines:
        return complete
    on = non_dominated(_maximised(complete, study)[0])
    return baselines + [r for r, is_on in zip(complete, on, strict=True)
                        if is_on and r.role == "search"]  # fmt: skip


def _own_points(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    # replicates improve estimates, not the front, and points without a training of their own were
    # not searched
    return [
        r for r in records if r.state == "complete" and not r.replicate and r.trained_as is None
    ]


def _maximised(records: Sequence[TrialRecord], study: Study) -> tuple[Array, Array]:
    """The objectives' values, shape (n, m), and the reference point, shape (m,)."""
    names, senses = list(study.objectives), list(study.objectives.values())
    values = maximised([[r.objectives[n].value for n in names] for r in records], senses)
    return values, maximised(reference_point(records, study.objectives), senses)


def stalled(course: Sequence[float], patience: int, tolerance: float = 1e-3) -> bool:
    """Whether the last `patience` trials raised the hypervolume by no more than a share
    `tolerance`."""
    if len(course) <= patience:
        return False
    before, now = course[-patience - 1], course[-1]
    return bool(now - before <= tolerance * np.abs(before))


def enough(records: Sequence[TrialRecord], study: Study) -> str | None:
    """Why no further trial is to be started, or None."""
    budget = study.budget
    spent = device_hours(records, study.resources)
    if budget.device_hours is not None and spent >= budget.device_hours:
        limit = f"`budget.device_hours` {budget.device_hours:g}"
        return f"{spent:.3g} device-hours are spent, the limit is {limit}"
    if budget.patience is not None:
        found = last_gain(records, study, budget.patience)
        if found is not None and stalled(found, 1):
            gained = f"gained no hypervolume ({found[1]:.4g})"
            if any(p.limit is not None for p in study.prefer.values()):
                gained = "gained nothing in what `prefer` asks for"
            return (
                f"the last {budget.patience} trials {gained}; `budget.patience` says to stop then"
            )
    return None
