"""The problems of the search benchmark: tables of real runs, and a synthetic response surface.

A `Problem` returns the cost and scores of a configuration without training. Its `place` maps a
policy's suggestion to an existing configuration: on a table to the nearest row not evaluated yet,
the same for every policy, whose parameters are then reported to it; on the surface to the
suggestion itself. Costs are cumulative: from a configuration's start to a fidelity.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from mtray.analysis.pareto import front_order, hypervolume, maximised
from mtray.errors import ConfigError
from mtray.schema import Sense
from mtray.search_space.shares import ShareDistribution

Array = npt.NDArray[np.float64]
Params = dict[str, Any]
Row = Mapping[str, Any]

LOG_FROM = 100  # a positive parameter whose range spans this factor is searched on a log scale
BEYOND = 0.1  # the hypervolume's corner lies this share of the front's extent beyond its worst end


@dataclass(frozen=True)
class Problem:
    """`place(params, taken)` gives the key of a configuration, or None when all are taken; the
    other functions take such a key and a fidelity, an index into `shares`. `truth` and `observe`
    give one value for each objective, shape (m,), in its own unit and sense.
    """

    name: str
    distributions: dict[str, BaseDistribution]
    objectives: dict[str, Sense]
    shares: tuple[float, ...]  # of a full trial, ascending, the last is the highest fidelity
    place: Callable[[Params, set[Any]], Any]
    truth: Callable[[Any, int], Array]
    observe: Callable[[Any, int, np.random.Generator], Array]
    cost: Callable[[Any, int], float]
    front: Array  # true values of the true front, shape (k, m)
    tolerance: Array  # how close to a point of the front counts as having found it, shape (m,)
    errors: Array  # standard errors that a trial reports with its values, shape (fidelities, m)
    alone: Callable[[Any], float]  # cost of a full trial that is not measured on its way
    unit: float  # mean of `alone`
    references: tuple[Params, ...] = ()  # baselines that mtray begins with
    guesses: Params = field(default_factory=dict)  # that mtray is given
    # parameters of a configuration that is not the suggestion itself; None: policies are not told
    row: Callable[[Any], Params] | None = None

    @property
    def senses(self) -> tuple[Sense, ...]:
        return tuple(self.objectives.values())

    @property
    def corner(self) -> Array:
        """The hypervolume's reference: a little beyond the worst values on the front."""
        better = maximised(self.front, self.senses)
        low = better.min(axis=0) - BEYOND * np.ptp(better, axis=0)
        return maximised(low, self.senses)

    def share_of_front(self, values: Array) -> float:
        """Hypervolume of `values`, shape (n, m), as a share of the true front's."""
        whole = hypervolume(self.front, self.corner, self.senses)
        return hypervolume(values, self.corner, self.senses) / whole if len(values) else 0.0

    def recovered(self, values: Array) -> float:
        """Share of the true front's points that one of `values`, shape (n, m), comes up to."""
        if not len(values):
            return 0.0
        front = maximised(self.front, self.senses) - self.tolerance - 1e-12
        found = maximised(values, self.senses)
        reached = (found[None, :, :] >= front[:, None, :]).all(axis=2).any(axis=1)
        return float(reached.mean())


def read_rows(path: Path) -> list[Row]:
    """The rows of a Parquet or CSV file."""
    import pyarrow.csv
    import pyarrow.parquet

    readers = {".parquet": pyarrow.parquet.read_table, ".csv": pyarrow.csv.read_csv}
    if path.suffix not in readers:
        raise ConfigError(f"{path}: a table ends in .parquet or .csv, found {path.suffix!r}")
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file")
    rows: list[Row] = readers[path.suffix](path).to_pylist()
    return rows


def from_rows(
    name: str, rows: Sequence[Row], distributions: Mapping[str, BaseDistribution] | None = None
) -> Problem:
    """One row for each configuration and fidelity: `config`, `fidelity` (a number, more is dearer),
    `cost` (from the start), parameters `p_*`, objectives `max_*` and `min_*`. `distributions`:
    what is searched, by column; where they are not given, what the rows span.

    Several rows of one configuration and fidelity are repeated runs: a trial draws one of them, and
    their mean is the truth. Raises ConfigError for columns, numbers or configurations that are
    missing.
    """
    objectives: dict[str, Sense] = {}
    for column in rows[0] if rows else ():
        if column.startswith(("max_", "min_")):
            objectives[column] = "max" if column.startswith("max_") else "min"
    columns = [c for c in (rows[0] if rows else ()) if c.startswith("p_")]
    _check(name, rows, columns, objectives)
    fidelities = sorted({float(row["fidelity"]) for row in rows})
    runs: dict[tuple[Any, int], list[Row]] = defaultdict(list)
    for row in rows:
        runs[row["config"], fidelities.index(float(row["fidelity"]))].append(row)
    last = len(fidelities) - 1
    configs = list(dict.fromkeys(row["config"] for row in rows))
    for config in configs:
        for k, fidelity in enumerate(fidelities):
            if not runs[config, k]:
                raise ConfigError(f"{name}: config {config!r} has no row of fidelity {fidelity:g}")
    values = {
        key: np.array([[float(row[c]) for c in objectives] for row in found])
        for key, found in runs.items()
    }
    cost = {key: float(np.mean([row["cost"] for row in found])) for key, found in runs.items()}
    truth = np.array([values[config, last].mean(axis=0) for config in configs])
    points = [{c: runs[config, last][0][c] for c in columns} for config in configs]
    distributions = distributions or _spanned(columns, points)
    by_config = dict(zip(configs, points, strict=True))
    return Problem(
        name=name,
        distributions=dict(distributions),
        objectives=objectives,
        shares=_shares([np.mean([cost[c, k] for c in configs]) for k in range(last + 1)]),
        place=_nearest(configs, points, distributions),
        truth=lambda config, k: values[config, k].mean(axis=0),
        observe=lambda config, k, rng: rng.choice(values[config, k]),
        cost=lambda config, k: cost[config, k],
        front=truth[front_order(maximised(truth, tuple(objectives.values())))],
        tolerance=np.zeros(len(objectives)),
        errors=np.array([_spread([values[c, k] for c in configs]) for k in range(last + 1)]),
        alone=lambda config: cost[config, last],
        unit=float(np.mean([cost[config, last] for config in configs])),
        row=lambda config: by_config[config],
    )


def _check(
    name: str, rows: Sequence[Row], columns: Sequence[str], objectives: Mapping[str, Sense]
) -> None:
    if not rows:
        raise ConfigError(f"{name}: the table has no rows")
    missing = [c for c in ("config", "fidelity", "cost") if c not in rows[0]]
    missing += [] if columns else ["p_* (parameters)"]
    missing += [] if len(objectives) > 1 else ["max_* or min_* (two objectives at least)"]
    if missing:
        raise ConfigError(
            f"{name}: missing columns: {', '.join(missing)}; has {', '.join(rows[0])}"
        )
    for number, row in enumerate(rows):
        for column in ("fidelity", "cost", *objectives):
            value = row[column]
            if not isinstance(value, int | float) or not np.isfinite(value):
                raise ConfigError(f"{name}: row {number}: {column} needs a number, found {value!r}")
        if row["cost"] <= 0:
            raise ConfigError(f"{name}: row {number}: cost must be above 0, found {row['cost']}")
        if empty := [c for c in columns if row[c] is None]:
            raise ConfigError(f"{name}: row {number}: {empty[0]} is empty")


def _shares(costs: Sequence[float]) -> tuple[float, ...]:
    """Mean cost of each fidelity as a share of the highest."""
    if sorted(costs) != list(costs):
        raise ConfigError(f"cost must grow with fidelity, found the means {costs}")
    return tuple(float(c / costs[-1]) for c in costs)


def _spread(groups: Sequence[Array]) -> Array:
    """Standard deviation of repeated runs, shape (m,); 0 where no run was repeated."""
    repeated = [g - g.mean(axis=0) for g in groups if len(g) > 1]
    if not repeated:
        return np.zeros(groups[0].shape[1])
    degrees = sum(len(g) - 1 for g in repeated)
    return np.asarray(np.sqrt(sum((g**2).sum(axis=0) for g in repeated) / degrees))


def _spanned(columns: Sequence[str], points: Sequence[Params]) -> dict[str, BaseDistribution]:
    """The range that each column spans; where the parameters of every row sum to 1, the shares of a
    mixture."""
    if _are_weights(points):
        return {c: ShareDistribution("mixture", 1.0, len(columns)) for c in columns}
    return {c: _distribution([point[c] for point in points]) for c in columns}


def _are_weights(points: Sequence[Params]) -> bool:
    numbers = all(isinstance(v, float) for p in points for v in p.values())
    return numbers and all(abs(sum(p.values()) - 1) < 0.02 for p in points)


def _distribution(values: Sequence[Any]) -> BaseDistribution:
    """The range that a column spans."""
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return CategoricalDistribution(sorted(set(values), key=str))
    low, high = min(values), max(values)
    log = low > 0 and high / low >= LOG_FROM
    if all(isinstance(v, int) for v in values):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)


def _coordinates(point: Params, distributions: Mapping[str, BaseDistribution]) -> Array:
    """A point where every parameter has the range [0, 1]; categories are one-hot, half a unit
    each, so that two that differ are one apart."""
    out: list[float] = []
    for name, d in distributions.items():
        if isinstance(d, CategoricalDistribution):
            out += [0.5 * (point[name] == choice) for choice in d.choices]
            continue
        assert isinstance(d, FloatDistribution | IntDistribution)
        low, high, value = (np.log(v) if d.log else v for v in (d.low, d.high, point[name]))
        out.append((value - low) / (high - low) if high > low else 0.0)
    return np.array(out)


def _nearest(
    configs: Sequence[Any], points: Sequence[Params], distributions: Mapping[str, BaseDistribution]
) -> Callable[[Params, set[Any]], Any]:
    """`Problem.place` of a table. Where the parameters of every row sum to 1 they are the weights
    of a mixture: a suggestion is divided by its sum first, and distances are between weights."""
    weights = _are_weights(points)

    def at(point: Params) -> Array:
        if not weights:
            return _coordinates(point, distributions)
        found = np.array([point[name] for name in distributions], dtype=np.float64)
        return np.asarray(found / max(found.sum(), 1e-9))

    known = np.array([at(point) for point in points])

    def place(params: Params, taken: set[Any]) -> Any:
        for i in np.argsort(((known - at(params)) ** 2).sum(axis=1), kind="stable"):
            if configs[i] not in taken:
                return configs[i]
        return None

    return place


# Losses of the Pile that trade against each other: what helps one takes text from the other.
REGMIX_PAIRS = (("pile_cc", "github"), ("pubmed_central", "stackexchange"), ("arxiv", "freelaw"))
# Cumulative, in 60M runs: the 1M proxy sees as many tokens with a sixtieth of the parameters.
REGMIX_COSTS = {"1m": 1 / 60, "60m": 1 + 1 / 60}


def regmix(folder: Path, pair: tuple[str, str]) -> Problem:
    """RegMix's 256 mixtures of 17 domains that were trained both as 1M and as 60M proxies (Liu et
    al. 2024, "RegMix: Data Mixture as Regression for Language Model Pre-training"); the objectives
    are two validation losses of the 60M model."""
    rows: list[Row] = []
    for fidelity, (size, cost) in enumerate(REGMIX_COSTS.items()):
        with (
            open(folder / f"test_mixture_{size}.csv", encoding="utf-8", newline="") as mixtures,
            open(folder / f"test_pile_loss_{size}.csv", encoding="utf-8", newline="") as losses,
        ):
            for mix, loss in zip(csv.DictReader(mixtures), csv.DictReader(losses), strict=True):
                if mix["index"] != loss["index"]:
                    raise ConfigError(f"{folder}: mixtures and losses of {size} do not match")
                params = {f"p_{n[15:]}": float(v) for n, v in mix.items() if n != "index"}
                values = {f"min_{n}": float(loss[f"metric/the_pile_{n}_val_loss"]) for n in pair}
                key = {"config": mix["index"], "fidelity": float(fidelity), "cost": cost}
                rows.append({**key, **params, **values})
    problem = from_rows(f"regmix {pair[0]}/{pair[1]}", rows)
    return replace(problem, alone=lambda config: 1.0, unit=1.0)
