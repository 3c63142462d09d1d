"""The problems of `rungs.py`: the recipe table with other rungs and rung costs, and the synthetic
surface with a wide range of learning rates and long trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution
from rungs_policy import RungProblem
from search_recipes import recipe_problem
from search_surface import (
    ERRORS,
    FRONT_POINTS,
    FULL_SECONDS,
    RUNG_ERRORS,
    RUNG_SECONDS,
    SECONDS_PER_EXAMPLE,
    SHARES,
    START_SECONDS,
    examples,
    own_surface,
    space,
    surface,
)
from search_tables import Array, Params, Row
from table_summary import OBJECTIVES, RUNGS, groups

from mtray.analysis.pareto import front_order
from mtray.search_space.space import Space
from mtray.search_space.unit_cube import at_quantile

BOTH = (0, 1)


def table_problem(
    rows: Sequence[Row],
    space_of: Space,
    rungs: tuple[int, ...] = BOTH,
    rung_share: float | None = None,
    fewer: float = 1.0,
) -> RungProblem:
    """The recipe table with some of its `rungs`.

    `rung_share`: what all rungs of a trial cost, as a share of the mean trial; None: what they cost
    in the table. `fewer`: of the segments that the table's rungs have (below 1, the noise of
    leaving some out is simulated, and a rung costs less in proportion).
    """
    whole = recipe_problem(rows, space_of)
    by_number = {row["number"]: row for row in rows}
    by_params = {_values(whole.row(n)): n for n in _numbers(whole, rows)} if whole.row else {}
    last = len(rungs)

    def rung_seconds(row: Row, rung: int) -> float:
        if rung_share is not None:
            return rung_share * whole.unit / len(rungs)
        return fewer * float(row[f"cpu.{RUNGS[rung][:-1]}"])

    def cost(number: int, k: int) -> float:
        row = by_number[number]
        measured = sum(rung_seconds(row, rung) for rung in rungs[: k + 1])
        if k == last:
            return whole.alone(number) + measured
        share = row[f"{RUNGS[rungs[k]]}step"] / row["steps"]
        return float(row["cpu.loading"] + row["cpu.training"] * share + measured)

    def observe(number: int, k: int, rng: np.random.Generator) -> Array:
        if k == last:
            return whole.observe(number, len(RUNGS), rng)
        values = whole.observe(number, rungs[k], rng)
        if fewer == 1.0:
            return values
        lost = _column(by_number[number], rungs[k], "/paired") * (1 / fewer - 1)
        return np.asarray(values + np.sqrt(lost) * rng.standard_normal(len(values)))

    keys = list(by_params.values())
    known = set(keys)
    means = [float(np.mean([cost(n, k) for n in keys])) for k in range(last + 1)]
    index = [*rungs, len(RUNGS)]
    problem = replace(
        whole,
        shares=tuple(mean / means[-1] for mean in means),
        truth=lambda number, k: whole.truth(number, index[k]),
        observe=observe,
        cost=cost,
        errors=np.array([whole.errors[i] for i in index]),
    )
    return RungProblem(
        problem,
        lambda params: by_params[_values(params)],
        lambda number, k: np.sqrt(_column(by_number[number], rungs[k], "/variance") / fewer),
        known.__contains__,
    )


def _numbers(whole: Any, rows: Sequence[Row]) -> list[int]:
    """The configurations of the table's problem."""
    found = []
    for group in groups(rows):
        try:
            whole.row(group[0]["number"])
        except KeyError:  # outside the space, or without rungs
            continue
        found.append(group[0]["number"])
    return found


def _values(params: Params) -> tuple[Any, ...]:
    return tuple(params.values())


def _column(row: Row, rung: int, what: str) -> Array:
    return np.array([row[f"{RUNGS[rung]}{name}{what}"] for name in OBJECTIVES], dtype=np.float64)


def wide_distributions(factor: float) -> dict[str, BaseDistribution]:
    """The surface's space with learning rates of this `factor` more on both sides."""
    found = space()
    rate = found["learning_rate"]
    assert isinstance(rate, FloatDistribution)
    wide = FloatDistribution(rate.low / factor, rate.high * factor, log=True)
    return {**found, "learning_rate": wide}


def surface_problem(factor: float, longer: float) -> RungProblem:
    """The synthetic surface with learning rates of a `factor` more on both sides, and trainings
    that take `longer` times as long; rungs and evaluation take what they took."""
    distributions, last = wide_distributions(factor), len(SHARES) - 1
    per_example = SECONDS_PER_EXAMPLE * longer

    def alone(key: Any) -> float:
        return START_SECONDS + per_example * float(examples(dict(key))) + FULL_SECONDS

    def cost(key: Any, k: int) -> float:
        if k == last:
            return alone(key) + RUNG_SECONDS * last
        trained = per_example * float(examples(dict(key))) * SHARES[k]
        return START_SECONDS + trained + RUNG_SECONDS * (k + 1)

    mean = np.mean([examples(p) for p in _points(distributions, 256)])
    problem = replace(
        own_surface(),
        name=f"own surface, learning rates x{factor:g}, trainings x{longer:g}",
        distributions=distributions,
        cost=cost,
        alone=alone,
        unit=START_SECONDS + per_example * float(mean) + FULL_SECONDS,
        front=wide_front(distributions),
    )
    errors = np.array([RUNG_ERRORS] * last + [ERRORS])
    return RungProblem(
        problem, lambda params: tuple(params.items()), lambda key, k: errors[k], lambda key: True
    )


def _points(distributions: Mapping[str, BaseDistribution], count: int) -> list[Params]:
    from scipy.stats import qmc

    units = qmc.Sobol(len(distributions), seed=1).random(count)
    return [_at(distributions, unit) for unit in units]


def _at(distributions: Mapping[str, BaseDistribution], unit: Array) -> Params:
    return {
        n: at_quantile(d, float(u)) for (n, d), u in zip(distributions.items(), unit, strict=True)
    }


def wide_front(distributions: Mapping[str, BaseDistribution], rounds: int = 10) -> Array:
    """True values of the surface's front in this space, shape (k, 2): Sobol points, then rounds of
    small steps from the best so far."""
    from scipy.stats import qmc

    rng = np.random.default_rng(0)
    units = qmc.Sobol(len(distributions), seed=0).random(2**12)
    for step in np.geomspace(0.2, 0.005, rounds):
        best = units[_evenly(front_order(_true(distributions, units)))]
        moved = best[rng.integers(len(best), size=1500)]
        moved = moved + step * rng.standard_normal(moved.shape) * (rng.random(moved.shape) < 0.5)
        units = np.concatenate([best, np.clip(moved, 0.0, 1 - 1e-9)])
    values = _true(distributions, units)
    return values[_evenly(front_order(values))]


def _true(distributions: Mapping[str, BaseDistribution], units: Array) -> Array:
    points = [_at(distributions, unit) for unit in units]
    columns = {name: np.array([p[name] for p in points]) for name in distributions}
    return surface(columns, 1.0)


def _evenly(order: Any) -> Any:
    """At most `FRONT_POINTS` of an order, evenly along it."""
    count = len(order)
    return order[np.unique(np.linspace(0, count - 1, min(count, FRONT_POINTS)).round().astype(int))]
