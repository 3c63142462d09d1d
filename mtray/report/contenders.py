"""The trained recipes of a run that may be its answer.

Joint draws of thousands of recipes take most of a report's time, and nearly all of these recipes
are worth far less than the best one. They are left out before anything is drawn: together, those
left out have a probability of at most `DOUBT` of being preferred to one recipe that is kept, which
no number of draws that a report takes can show.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from mtray.analysis.decision import scales, worth
from mtray.analysis.pareto import maximised, non_dominated
from mtray.analysis.preference import Utility
from mtray.report.surface import ModelledRun
from mtray.schema import Sense

Array = npt.NDArray[np.float64]
FEW = 256  # recipes; all of so few are kept
DOUBT = 1e-3
CERTAIN = 4.5  # standard deviations by which a recipe surely reaches a floor
ERRORS = 256  # draws that the errors' part of a standard deviation is estimated from


def contenders(
    surface: ModelledRun, senses: dict[str, Sense], prefer: Utility
) -> npt.NDArray[np.int64]:
    """Places of the recipes in the evidence, ascending: all that may be the answer, the baselines,
    and the fronts of the expected and of the observed values. `senses`: the surface's measures.
    `prefer`: of differences from the base model."""
    evidence, directions = surface.evidence, list(senses.values())
    n = len(evidence.records)
    if n <= FEW:
        return np.arange(n)
    observed = maximised(np.column_stack([evidence.gap(name) for name in senses]), directions)
    means = maximised(surface.trained_means(), directions)
    kept = non_dominated(observed) | non_dominated(means)
    kept[list(evidence.baselines)] = True
    chances = _chances(surface, means, prefer)
    order = np.argsort(chances)
    kept[order[np.cumsum(chances[order]) > DOUBT]] = True
    kept[order[-FEW:]] = True
    return np.flatnonzero(kept)


def _chances(surface: ModelledRun, means: Array, prefer: Utility) -> Array:
    """Each recipe's probability of being preferred to the best of those that surely reach all
    floors, at most, shape (n,); 1 if none does. `means`, shape (n, m), more is better."""
    above = np.full(means.shape, np.inf)
    if prefer.floored:
        above = (means - prefer.floors) / surface.trained_deviations(None, ERRORS)
    sure = (above >= CERTAIN).all(axis=1)
    if not sure.any():
        return np.ones(len(means))
    anchors = np.vstack([np.zeros((1, means.shape[1])), means[list(surface.evidence.baselines)]])
    scale = scales(means, anchors)
    best = int(np.argmax(np.where(sure, worth(means, scale, prefer.mean_weights), -np.inf)))
    lead, beside = means[best] - means, surface.trained_deviations(best, ERRORS)
    chances = np.zeros(len(means))
    # the greatest chance under any weights of their intervals is at a corner
    for weights in set(product(*zip(prefer.low, prefer.high, strict=True))):
        ahead = worth(lead, scale, np.array(weights))
        deviation = np.sqrt(worth(beside**2, scale**2, np.square(weights)))
        away = np.divide(ahead, deviation, out=np.zeros_like(ahead), where=deviation > 0)
        np.maximum(chances, ndtr(-away), out=chances)
    return np.asarray(np.minimum(chances, ndtr(above).min(axis=1)))
