"""The initial trials of a sweep: baselines, the first of which is trained twice, then the recipes
that the study gives, or space-filling points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from mtray.schema import Budget, Role
from mtray.search.ledger.trial_attributes import (
    ATTEMPTS,
    EXACT,
    FIRST_AGAIN,
    INSTEAD_OF,
    OF,
    REPLICATE,
    ROLE,
    SAMPLER_NOTES,
    imported_trials,
    initial_trials,
    is_baseline,
    own_trials,
    role_of,
)
from mtray.search.strategy.baseline_recipes import nearest
from mtray.search.strategy.cost_aware import SearchDomain
from mtray.search.strategy.reserved_trials import SweepStart, reserved_trials
from mtray.search.strategy.samplers import STARTUP
from mtray.search.strategy.space_filling import SpaceFillingPoints

EnqueuedPoint = tuple[dict[str, Any], dict[str, Any]]  # parameters and notes for the journal
Distributions = Mapping[str, BaseDistribution]


def missing_initial_trials(
    trials: Sequence[FrozenTrial],
    references: Mapping[Role, dict[str, Any]],
    where: SearchDomain,
    seed: int,
    budget: Budget,
    given: Sequence[dict[str, Any]] = (),
) -> list[EnqueuedPoint]:
    """The initial trials still to be enqueued: all of them in a new study, the missing ones after
    an interrupted start or with imported trials; and those that machines took away. `given`: the
    points of `budget.recipes`."""
    begun, known = initial_trials(trials), imported_trials(trials)
    baselines = [t for t in begun if is_baseline(t)]
    roles = {role_of(t) for t in [*begun, *known] if is_baseline(t)}
    missing: list[tuple[str, dict[str, Any]]] = [
        (role, exact) for role, exact in references.items() if role not in roles
    ]
    if given:
        missing += [("search", params) for params in not_begun(given, begun)]
    elif len(known) < STARTUP:  # with that many, the sampler has enough points
        points = SpaceFillingPoints(where, seed)
        missing += [("search", points[i]) for i in range(len(begun) - len(baselines), STARTUP)]
    lined_up = [enqueued_point(role, exact, where.distributions) for role, exact in missing]
    if references:
        new = sum(role != "search" for role, _ in missing)
        filling_points = len(begun) - len(baselines) + len(missing) - new
        begins = SweepStart(len(baselines) + new, filling_points, True)
        again = _repeat(trials, next(iter(references.items())), where.distributions, budget, begins)
        if again is not None:
            lined_up.insert(*again)
    # a longer budget would continue with the rest, but with `settle` the trials beyond this budget
    # settle the answer
    room = (
        len(lined_up) if budget.settle is None else max(0, budget.trials - len(own_trials(trials)))
    )
    return [*taken_away(trials), *lined_up[:room]]


def taken_away(trials: Sequence[FrozenTrial]) -> list[EnqueuedPoint]:
    """The trials that failed because machines of the cluster were lost, once more: with the same
    parameters and purpose, and not counted twice."""
    lost = [
        t for t in own_trials(trials)
        if t.state == TrialState.FAIL and t.user_attrs.get("reason_class") == "node_lost"
    ]  # fmt: skip
    ended = ("reason", "reason_class", "state", ATTEMPTS)
    return [
        (t.params, {k: v for k, v in t.user_attrs.items() if k not in ended}
         | {INSTEAD_OF: t.number})
        for t in lost
    ]  # fmt: skip


def not_begun(
    given: Sequence[dict[str, Any]], begun: Sequence[FrozenTrial]
) -> list[dict[str, Any]]:
    """The given points without those that initial trials have, each as often as it stands there."""
    left = [t.params | t.user_attrs.get(EXACT, {}) for t in begun if role_of(t) == "search"]
    out = []
    for params in given:
        if params in left:
            left.remove(params)
        else:
            out.append(params)
    return out


def _repeat(
    trials: Sequence[FrozenTrial],
    baseline: tuple[Role, dict[str, Any]],
    distributions: Distributions,
    budget: Budget,
    begins: SweepStart,
) -> tuple[int, EnqueuedPoint] | None:
    """The second training of the first baseline and its position among the missing trials; None if
    there is none to enqueue."""
    if any(FIRST_AGAIN in t.user_attrs for t in trials):
        return None  # perhaps of another one, which the study no longer names
    role, exact = baseline
    of = _first_baseline(trials, role)
    after = int(of == len(trials))  # the original is itself the first missing trial
    if of is None or not _repeat_fits(trials, budget, begins, after):
        return None
    params, notes = enqueued_point(role, exact, distributions)
    return after, (params, {**notes, SAMPLER_NOTES: {}, REPLICATE: 1, OF: of, FIRST_AGAIN: True})


def _first_baseline(trials: Sequence[FrozenTrial], role: Role) -> int | None:
    """The number of the first baseline, or of the next trial if it is missing; None if it failed or
    was repeated already."""
    known = [t for t in [*own_trials(trials), *imported_trials(trials)] if role_of(t) == role]
    if not known:
        return len(trials)
    original, *repeats = known
    failed = original.state == TrialState.FAIL
    return None if repeats or failed or REPLICATE in original.user_attrs else original.number


def _repeat_fits(
    trials: Sequence[FrozenTrial], budget: Budget, begins: SweepStart, after: int
) -> bool:
    """Whether the budget has room for a repeat of the first baseline after `after` trials that are
    enqueued before it."""
    counted = own_trials(trials)
    share = reserved_trials(budget, budget.trials, begins)
    spent = sum(REPLICATE in t.user_attrs for t in counted)
    return bool(share.first and spent < share.repeats and len(counted) + after < budget.trials)


def enqueued_point(role: str, exact: dict[str, Any], distributions: Distributions) -> EnqueuedPoint:
    """Parameters and notes of one initial trial."""
    # a baseline may deliberately lie outside the searched range or set a fixed parameter
    params = {name: nearest(d, exact[name]) for name, d in distributions.items()}
    return params, {ROLE: role} if params == exact else {ROLE: role, EXACT: exact}
