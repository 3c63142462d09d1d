"""The trials that every sweep begins with: baselines, then points that fill the space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from mtray.schema import Role
from mtray.search.cost_aware import Where
from mtray.search.filling import Filling
from mtray.search.notes import EXACT, ROLE, first_ones, is_baseline, role_of, taken_over
from mtray.search.references import nearest
from mtray.search.samplers import STARTUP

Distributions = Mapping[str, BaseDistribution]


def missing_first(
    trials: Sequence[FrozenTrial],
    references: Mapping[Role, dict[str, Any]],
    where: Where,
    seed: int,
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Parameters and notes of those that are still to be put in line: all in a new study, what is
    missing where an earlier process was cut off or trials of earlier runs are known."""
    begun, known = first_ones(trials), taken_over(trials)
    baselines = [t for t in begun if is_baseline(t)]
    roles = {role_of(t) for t in [*begun, *known] if is_baseline(t)}
    missing: list[tuple[str, dict[str, Any]]] = [
        (role, exact) for role, exact in references.items() if role not in roles
    ]
    if len(known) < STARTUP:  # with as many, the sampler has what it needs
        points = Filling(where, seed)
        missing += [("search", points[i]) for i in range(len(begun) - len(baselines), STARTUP)]
    return [placed(role, exact, where.distributions) for role, exact in missing]


def placed(
    role: str, exact: dict[str, Any], distributions: Distributions
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and notes of one of them for the journal."""
    # a baseline may lie outside the searched range, or set what the space fixes, on purpose
    params = {name: nearest(d, exact[name]) for name, d in distributions.items()}
    return params, {ROLE: role} if params == exact else {ROLE: role, EXACT: exact}
