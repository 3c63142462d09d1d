"""Untrained recipes of a space that a response surface predicts to be good."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mtray.analysis.decision import scales, worth
from mtray.analysis.pareto import front_order, maximised
from mtray.analysis.preference import Utility, preferred_order
from mtray.report.surface import ModelledRun
from mtray.schema import Recipe, Sense

Array = npt.NDArray[np.float64]
SPREAD = 1024  # points over the space, a power of two
NEAR = 256  # candidates near the best ones so far, in each round
STEPS = (0.1, 0.03, 0.01)  # step size of each round, in unit coordinates
BEST = 8  # best candidates that a round starts from
SEED = 11


def spread_points(dimensions: int, count: int = SPREAD) -> Array:
    """Unit coordinates spread over a space, shape (count, dimensions)."""
    from scipy.stats import qmc

    return np.asarray(qmc.Sobol(dimensions, seed=SEED).random(count))


def recipes_at(surface: ModelledRun, units: Array) -> list[Recipe]:
    return [surface.coordinates.recipe(surface.coordinates.params(row)) for row in units]


def best_untrained(
    surface: ModelledRun, senses: Sequence[Sense], prefer: Utility
) -> tuple[Recipe, ...]:
    """The recipe that is preferred by its expected values, and the front of the expected values
    before the search for it; the best first. `prefer`: of differences from the base model."""
    rng = np.random.default_rng(SEED)
    units = spread_points(len(surface.coordinates.names))
    means = _means(surface, units, senses)
    evidence = surface.evidence
    baselines = [evidence.records[place].recipe for place in evidence.baselines]
    anchors = np.zeros((1, len(senses)))
    if baselines:
        found = maximised(surface.means(baselines), senses)
        anchors = np.vstack([anchors, found])
    scale = scales(means, anchors)
    spread = [units[i] for i in front_order(means)]
    for step in STEPS:
        best = units[_order(means, scale, prefer)[:BEST]]
        moved = best[rng.integers(len(best), size=NEAR)]
        moved = np.clip(moved + step * rng.standard_normal(moved.shape), 0, 1 - 1e-9)
        units, means = np.vstack([units, moved]), np.vstack([means, _means(surface, moved, senses)])
    top = units[_order(means, scale, prefer)[0]]
    return tuple(dict.fromkeys(recipes_at(surface, np.array([top, *spread]))))


def _order(means: Array, scale: Array, prefer: Utility) -> npt.NDArray[np.int64]:
    """Indices of expected values, shape (k, m), the most preferred first."""
    short = prefer.shortfall(means, scale)
    return preferred_order(
        worth(means, scale, prefer.mean_weights), short, (short <= 0).astype(np.float64)
    )


def _means(surface: ModelledRun, units: Array, senses: Sequence[Sense]) -> Array:
    """Expected differences from the base model, shape (k, m), more is better."""
    found = surface.means(recipes_at(surface, units))
    return maximised(found, senses)
