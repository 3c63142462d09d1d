"""The recipe table (`recipe_table.py`) as a problem of the search benchmark.

A configuration is a recipe within the space that was trained and measured at every rung. Its values
are those of its first seed, at the rungs and at the end, and these count as true: a front is scored
by the results of those trials, including their seeds. Further seeds determine only the noise: a
trial reports as its standard error the deviation over seeds, pooled over the recipes that have
several, and a point of the front counts as found if a result is within that of it. If no recipe has
a second seed yet, the median bootstrap error is used. Costs are seconds of a core. Baselines
outside the space's ranges, such as `mono_two_to_one`, are in the table but not in the problem.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from optuna.distributions import BaseDistribution
from search_tables import Array, Params, Problem, Row, from_rows
from table_summary import OBJECTIVES, RUNGS, SENSES, groups, read_table, seed_variance

from mtray.errors import ConfigError
from mtray.search_space.parameters import holds
from mtray.search_space.space import Space

STAGES = (*RUNGS, "")  # prefixes of columns, by fidelity
NAME = "recipes of the default study"


def recipes(path: Path) -> Problem:
    """The problem of a table's file, which may be of a part of the plan. Raises ConfigError."""
    rows, about = read_table(path)
    space = Space.model_validate({"parameters": yaml.safe_load(about["space"])})
    return recipe_problem(rows, space)


def recipe_problem(rows: Sequence[Row], space: Space) -> Problem:
    """The same of rows in memory. Raises ConfigError where they have no recipe to search among."""
    distributions = space.distributions()
    grouped = groups(rows)
    firsts = [
        group[0]
        for group in grouped
        if _inside(group[0], distributions) and all(_measured(group[0], s) for s in STAGES)
    ]
    if len(firsts) < 2:
        raise ConfigError(f"{NAME}: {len(firsts)} recipes within the space, two are needed")
    problem = from_rows(
        NAME,
        [line for row in firsts for line in _lines(row, distributions)],
        {_column(name): d for name, d in distributions.items()},
    )
    by_number = {row["number"]: row for row in firsts}
    baselines = [row for row in firsts if row["role"] != "search"]
    errors = np.array([_errors(grouped, firsts, stage) for stage in STAGES])
    alone = {number: _alone(row) for number, row in by_number.items()}
    return replace(
        problem,
        tolerance=errors[-1],
        errors=errors,
        alone=lambda number: alone[number],
        unit=float(np.mean(list(alone.values()))),
        references=tuple(_params(row, distributions) for row in baselines),
        guesses={_column(name): value for name, value in space.guesses.items()},
    )


def _column(name: str) -> str:
    """A parameter's name as `from_rows` has it."""
    return f"p_{name}"


def _params(row: Row, distributions: Mapping[str, BaseDistribution]) -> Params:
    return {_column(name): row[f"recipe.{name}"] for name in distributions}


def _inside(row: Row, distributions: Mapping[str, BaseDistribution]) -> bool:
    return all(holds(d, row[f"recipe.{name}"]) for name, d in distributions.items())


def _measured(row: Row, stage: str) -> bool:
    return all(row.get(f"{stage}{name}") is not None for name in OBJECTIVES)


def _lines(row: Row, distributions: Mapping[str, BaseDistribution]) -> list[dict[str, Any]]:
    """A line for each fidelity."""
    return [
        {
            "config": row["number"],
            "fidelity": fidelity,
            "cost": _cost(row, fidelity),
            **_params(row, distributions),
            **{f"{s}_{n}": row[f"{stage}{n}"] for n, s in zip(OBJECTIVES, SENSES, strict=True)},
        }
        for fidelity, stage in enumerate(STAGES)
    ]


def _cost(row: Row, fidelity: int) -> float:
    """Seconds of a core from the start to the end of a fidelity's evaluation."""
    if fidelity == len(RUNGS):
        return float(_alone(row) + sum(row[f"cpu.{rung[:-1]}"] for rung in RUNGS))
    seen = RUNGS[: fidelity + 1]
    trained = row["cpu.training"] * row[f"{seen[-1]}step"] / row["steps"]
    return float(row["cpu.loading"] + trained + sum(row[f"cpu.{rung[:-1]}"] for rung in seen))


def _alone(row: Row) -> float:
    """That of a trial that is not measured on its way."""
    return float(row["cpu.loading"] + row["cpu.training"] + row["cpu.evaluating"])


def _errors(grouped: Sequence[Sequence[Row]], firsts: Sequence[Row], stage: str) -> Array:
    """Standard errors at a fidelity, shape (2,)."""
    names = [f"{stage}{name}" for name in OBJECTIVES]
    whole = [[row for row in group if _measured(row, stage)] for group in grouped]
    spread = seed_variance(whole, names)
    if spread.repeats:
        return spread.deviation
    return np.array([np.sqrt(np.median([row[f"{n}/variance"] for row in firsts])) for n in names])
