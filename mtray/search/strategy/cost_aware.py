"""mtray's own sampler: suggests the point with the highest expected hypervolume improvement for its
cost.

It fits a Gaussian process to each objective, each constraint and the logarithm of the cost. The
acquisition function of a candidate is its expected hypervolume improvement over the front of the
*predicted* values, since observed ones are noisy and their front is optimistic (Daulton et al.
2021, "Parallel Bayesian Optimization of Multiple Noisy Objectives with Expected Hypervolume
Improvement"),

  * if the budget limits time, divided by the fourth root of its predicted cost (Lee et al. 2020,
    "Cost-aware Bayesian Optimization", divide by the cost itself),
  * times the probability that it satisfies every constraint (Gardner et al. 2014, "Bayesian
    Optimization with Inequality Constraints"),
  * times a Gaussian prior around the user's guesses, to a power that falls with the number of
    points (Hvarfner et al. 2022, "piBO: Augmenting Acquisition Functions with User Beliefs").

Pending points count with their predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution
from scipy.special import log_ndtr

from mtray.analysis.gaussian_process_fit import LengthScales
from mtray.analysis.pareto import non_dominated
from mtray.analysis.preference import Utility
from mtray.analysis.preferred_improvement import improvement
from mtray.analysis.sparse_gaussian_process import farthest_first
from mtray.schema import Budget
from mtray.search.strategy.surrogates import AnyProcess, fitted, length_scales
from mtray.search_space.unit_cube import UnitCube

Array = npt.NDArray[np.float64]
Params = dict[str, Any]
CANDIDATES = 1024  # Sobol points over the space
NEAR = 512  # candidates near the best ones so far, in each round
STEPS = (0.2, 0.1, 0.05, 0.02)  # step size of each round, in unit coordinates
BEST = 8  # best candidates that a round starts from
BEYOND = 0.1  # distance of the reference below the worst value, as a share of the values' range
COST_EXPONENT = 0.25  # if the budget limits time
BELIEF = 20.0  # in points: the prior has the power BELIEF / points
BELIEF_WIDTH = 0.25  # standard deviation of the prior, as a share of the range
FEWEST = 3  # points with values needed to fit a model
ON_FRONT = 24  # most points of the front that the improvement is computed over
LEAST = 1e-300  # keeps the logarithm of an improvement finite


@dataclass(frozen=True)
class Observation:
    """Result of a trial: objectives in the study's order, the cost in any unit, by name the amount
    by which it violates each constraint (above 0: infeasible), and whether it is a baseline."""

    values: Sequence[float]
    cost: float | None = None
    over: Mapping[str, float] = field(default_factory=dict)
    baseline: bool = False


@dataclass(frozen=True)
class Observations:
    """Ended and pending points. `signs`: 1 for an objective to maximise, -1 to minimise.
    `base`: values of the base model, if they are known."""

    ended: Sequence[tuple[Params, Observation]]
    pending: Sequence[Params]
    signs: Sequence[float]
    base: Sequence[float] | None = None

    @property
    def values(self) -> Array:
        """Shape (n, m), more is better."""
        return np.asarray(np.array([t.values for _, t in self.ended]) * np.array(self.signs))

    @property
    def anchors(self) -> Array:
        """Values of base model and baselines, which the units of a preference depend on, shape
        (a, m), more is better."""
        found = [list(o.values) for _, o in self.ended if o.baseline]
        found += [] if self.base is None else [list(self.base)]
        return np.asarray(np.array(found).reshape(-1, len(self.signs)) * np.array(self.signs))

    @property
    def costs(self) -> Array:
        """Shape (n,); NaN if unknown or zero."""
        return np.array([observation.cost or np.nan for _, observation in self.ended])

    @property
    def over(self) -> Array:
        """Shape (n, constraints); a trial that was not measured for a constraint counts as
        feasible."""
        names = sorted({name for _, observation in self.ended for name in observation.over})
        rows = [
            [observation.over.get(name, 0.0) for name in names] for _, observation in self.ended
        ]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(names))


@dataclass(frozen=True)
class SearchDomain:
    """The space to suggest points in.

    distributions: of the varying parameters.
    guesses: the user's guesses by parameter.
    allowed: whether a point may be tried (None: all may).
    switched_off: parameters that a point's conditions switch off (None: no conditions).
    cost_exponent: power of its cost by which a point's improvement is divided; 0 counts trials.
    prefer: what the user prefers, more is better (None: the whole front counts).
    """

    distributions: Mapping[str, BaseDistribution]
    guesses: Mapping[str, Any] = field(default_factory=dict)
    allowed: Callable[[Params], bool] | None = None
    switched_off: Callable[[Params], Collection[str]] | None = None
    cost_exponent: float = COST_EXPONENT
    prefer: Utility | None = None


def cost_exponent(budget: Budget) -> float:
    """`SearchDomain.cost_exponent` for a budget: what it limits is what an improvement is divided
    by. A budget of trials alone buys as many expensive ones as cheap ones."""
    return COST_EXPONENT if budget.device_hours or budget.max_minutes else 0.0


def suggest(where: SearchDomain, known: Observations, seed: int) -> Params:
    """The point to try next; a forbidden one only if no candidate is allowed. Depends on its
    arguments only. Raises ValueError with fewer than `FEWEST` ended points."""
    if len(known.ended) < FEWEST:
        raise ValueError(f"{len(known.ended)} ended points; {FEWEST} are needed")
    unit_cube = UnitCube(where.distributions)
    ended = np.array([unit_cube.units(params) for params, _ in known.ended])
    pending = np.array([unit_cube.units(params) for params in known.pending])
    worth = _Acquisition(unit_cube, where, known, ended, pending.reshape(-1, unit_cube.dimensions))
    starts = ended[non_dominated(known.values)]
    units, values = _search(worth, unit_cube.dimensions, starts, np.random.default_rng(seed))
    order = np.argsort(-values, kind="stable")
    for index in order if where.allowed else order[:1]:
        params = unit_cube.params(units[index])
        if where.allowed is None or where.allowed(params):
            return params
    return unit_cube.params(units[order[0]])


class _Acquisition:
    """Logarithm of the acquisition function of candidates; shape (k, d) -> (k,)."""

    def __init__(
        self,
        unit_cube: UnitCube,
        where: SearchDomain,
        known: Observations,
        ended: Array,
        pending: Array,
    ) -> None:
        self._unit_cube, self._where = unit_cube, where
        points, extra = self._features(ended)[0], self._features(pending)[0]
        self._guesses = unit_cube.guesses(where.guesses)
        guessed = bool(np.isfinite(self._guesses).any())
        scales = length_scales(unit_cube.share_features, guessed)
        modelled = np.column_stack([known.values, known.over])
        models = [_with(p, extra) for p in fitted(points, modelled, known.values, scales)]
        objectives = known.values.shape[1]
        self._objectives, self._limits = models[:objectives], models[objectives:]
        self._cost = _cost_process(points, known.costs, scales) if where.cost_exponent else None
        everywhere = np.vstack([points, extra])
        predicted = np.column_stack([p.predict(everywhere)[0] for p in self._objectives])
        over = [p.predict(everywhere)[0] for p in self._limits]
        feasible = np.all([o <= 0 for o in over], axis=0) if over else np.full(len(predicted), True)
        reference = predicted.min(axis=0) - BEYOND * np.ptp(predicted, axis=0)
        self._improvement = improvement(
            _thinned(predicted[feasible]), reference, where.prefer, known.anchors, BEYOND
        )
        self._belief = BELIEF / len(ended)

    def __call__(self, units: Array) -> Array:
        units = self._unit_cube.stored(units)
        features, off = self._features(units)
        found = [p.predict(features) for p in self._objectives]
        mean, deviation = (np.column_stack(part) for part in zip(*found, strict=True))
        # logarithms, since improvements span many orders of magnitude
        worth = np.log(self._improvement(mean, deviation) + LEAST)
        for process in self._limits:
            over, error = process.predict(features)
            worth = worth + log_ndtr(-over / error)
        if self._cost is not None:
            worth = worth - self._where.cost_exponent * self._cost.predict(features)[0]
        away = np.where(off, 0.0, (units - self._guesses) / BELIEF_WIDTH)
        return np.asarray(worth - 0.5 * self._belief * np.nansum(away**2, axis=1))

    def _features(self, units: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Features of the models, and which coordinates are switched off, shape (k, d). The latter
        are set to the middle of their range, so that unused values do not distinguish points."""
        off = np.zeros(units.shape, dtype=np.bool_)
        if self._where.switched_off is not None:
            for row, unit in enumerate(units):
                names = self._where.switched_off(self._unit_cube.params(unit))
                off[row] = [name in names for name in self._unit_cube.names]
        return self._unit_cube.features(np.where(off, 0.5, units)), off


def _thinned(values: Array) -> Array:
    """Those of the values, shape (n, m), on their front; of three objectives or more at most
    `ON_FRONT`, spread along it, since the number of boxes grows with a power of it."""
    front = values[non_dominated(values)] if len(values) else values
    if len(front) <= ON_FRONT or front.shape[1] < 3:
        return front
    scaled = front / np.maximum(np.ptp(front, axis=0), 1e-12)
    return front[farthest_first(scaled, np.unique(front.argmax(axis=0)), ON_FRONT)]


def _with(process: AnyProcess, points: Array) -> AnyProcess:
    """The process conditioned on its own predictions at `points`."""
    return process.with_points(points, process.predict(points)[0]) if len(points) else process


def _cost_process(points: Array, costs: Array, scales: Sequence[LengthScales]) -> AnyProcess | None:
    """Of the logarithm of the cost, which has a trend along most parameters."""
    measured = np.isfinite(costs) & (costs > 0)  # below 0: a clock was set back
    if measured.sum() < FEWEST:
        return None
    values = np.log(costs[measured])[:, None]
    return fitted(points[measured], values, -values, scales, linear=True)[0]


def _search(
    worth: Callable[[Array], Array], dimensions: int, starts: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Random search: Sobol points over the cube, then rounds of ever smaller steps from the best
    points so far. Returns all points and their acquisition values."""
    from scipy.stats import qmc

    inside = np.clip(starts, 0, 1 - 1e-9)
    units = np.vstack([qmc.Sobol(dimensions, seed=rng).random(CANDIDATES), inside])
    values = worth(units)
    for step in STEPS:
        best = units[np.argsort(-values, kind="stable")[:BEST]]
        nearby = best[rng.integers(len(best), size=NEAR)]
        # about two coordinates move at a time; optima often lie at the ends of a range
        which = rng.random(nearby.shape) < min(1.0, 2 / dimensions)
        nearby = np.clip(nearby + step * which * rng.standard_normal(nearby.shape), 0, 1 - 1e-9)
        units, values = np.vstack([units, nearby]), np.concatenate([values, worth(nearby)])
    return units, values
