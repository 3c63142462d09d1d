"""Seed variance: the variance of a recipe's results over seeds and draws of the data, pooled over
all recipes that were trained more than once, with a weak prior. Arrays in, arrays out.

Measurements of two trainings of one recipe differ for two reasons: the models differ in worth (the
variance over seeds), and the segments at hand suit one of them better, which a bootstrap over
segments covers as well (`within`). Only the variance beyond the second is added to the bootstrap's
intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from mtray.analysis.standard_draws import standard_draws
from mtray.analysis.uncertainty import LEVEL, student_t

Array = npt.NDArray[np.float64]

# Degrees of freedom of the prior: as informative as four repeats. In simulated sweeps of the
# default study (`benchmarks/calibration.py`) fewer miss true gains, more report false ones if the
# prior's centre is too low.
PRIOR_FREEDOM = 4.0
# The prior's centre: standard deviation over seeds, beyond the bootstrap's part, in units of the
# standard error of the difference from the base model. The default study's repeated recipes have
# .08 in quality, 0 in retention and up to 1.41 in single abilities, on 93 degrees of freedom
# (`benchmarks/recipe_table.py show`).
PRIOR_RATIO = 0.5


@dataclass(frozen=True)
class SeedVariance:
    """Estimated error of one trial over seeds.

    - `variance`, shape (m,): of a trial's values about its recipe's mean.
    - `within`, shape (m,): the part of it that the bootstrap over segments covers as well.
    - `freedom`: degrees of freedom of `variance`, including those of the prior.
    - `repeats`: degrees of freedom from repeated trainings; 0: nothing was repeated.
    """

    variance: Array
    within: Array
    freedom: float
    repeats: int

    @property
    def deviation(self) -> Array:
        """Standard deviation over seeds beyond the bootstrap's part, shape (m,)."""
        return np.asarray(np.sqrt(np.maximum(0.0, self.variance - self.within)))

    def half_width(self, level: float = LEVEL) -> Array:
        """Half the interval of one trial's error beyond the bootstrap's part, shape (m,), by
        Student's t, since the variance itself is estimated from few repeats. 0 without degrees of
        freedom."""
        if not self.freedom:
            return np.zeros_like(self.variance)
        tail = (1 + level) / 2
        whole = (student_t(tail, self.freedom) ** 2) * self.variance
        normal = NormalDist().inv_cdf(tail) ** 2
        return np.asarray(np.sqrt(np.maximum(0.0, whole - normal * self.within)))

    def first_half_width(self, level: float = LEVEL) -> float:
        """That of the first objective; computed once, since many recipes ask."""
        kept: dict[float, float] = self.__dict__.setdefault("_first_half_widths", {})
        if level not in kept:
            kept[level] = float(self.half_width(level)[0])
        return kept[level]


@dataclass(frozen=True)
class RepeatedTraining:
    """One recipe's trainings.

    - `values`, shape (trainings, m).
    - `draws`, shape (resamples, trainings, m): their paired bootstrap draws, or None.
    - `alpha`: the share of the update from the base model that is kept. A seed's error is
      proportional to it (to first order in f(w0 + alpha (w - w0))).
    """

    values: Array
    draws: Array | None = None
    alpha: float = 1.0

    def squares(self) -> tuple[Array, Array]:
        """Sums over trainings, shape (m,), at alpha 1: squared deviations from their mean, and the
        bootstrap's variance of these deviations (0 without draws)."""
        scale = self.alpha**-2
        moved = self.values - self.values.mean(axis=0)
        if self.draws is None:
            return scale * (moved**2).sum(axis=0), np.zeros(self.values.shape[1])
        apart = self.draws - self.draws.mean(axis=1, keepdims=True)
        return scale * (moved**2).sum(axis=0), scale * apart.var(axis=0).sum(axis=0)


def pooled_variance(families: Sequence[Sequence[RepeatedTraining]]) -> SeedVariance:
    """Sum of squared deviations from each recipe's mean, over sum of (trainings - 1).

    A family holds recipes that share trainings: one recipe, and the same at other alphas; their
    squares are averaged and count once. Pooled because a single recipe has few repeats; the
    variance is assumed to be the same throughout the space. Raises ValueError without a family or
    for other shapes.
    """
    members = [member for family in families for member in family]
    if not members or any(
        r.values.ndim != 2 or r.values.shape[1] != members[0].values.shape[1] for r in members
    ):
        raise ValueError("families need the shape (trainings, objectives), the same objectives")
    total = np.zeros((2, members[0].values.shape[1]))
    freedom = 0
    for family in families:
        found = [member.squares() for member in family if len(member.values) > 1]
        if found:
            total += np.mean(found, axis=0)
            freedom += max(len(member.values) for member in family) - 1
    squares, within = total / max(1, freedom)
    return SeedVariance(squares, within, float(freedom), freedom)


def with_prior(observed: SeedVariance, errors: npt.ArrayLike) -> SeedVariance:
    """The posterior under a scaled inverse chi squared prior with `PRIOR_FREEDOM` degrees of
    freedom, centred at `PRIOR_RATIO` times the objectives' standard errors over segments, shape
    (m,) (Gelman et al. 2013, "Bayesian Data Analysis", 2.6 and 3.3).

    A cost has no segments, so its standard error says nothing of its variance over seeds: its prior
    is centred at the observed variance, where one at 0 would shrink it to a fifth after one repeat.
    """
    known = np.asarray(errors, dtype=np.float64)
    centre = (PRIOR_RATIO * known) ** 2 + observed.within
    centre = np.where(known > 0, centre, observed.variance)
    freedom = PRIOR_FREEDOM + observed.repeats
    whole = PRIOR_FREEDOM * centre + observed.repeats * observed.variance
    return SeedVariance(whole / freedom, observed.within, freedom, observed.repeats)


def seed_draws(spread: SeedVariance, shares: npt.ArrayLike, draws: int, seed: int = 0) -> Array:
    """Draws of the errors of means over seeds, shape (draws, points, m).

    `shares`, shape (points, trainings), is the coefficient of each training's error in each point:
    alpha over the number of the point's trainings, 0 for other trainings and for the base model.
    Points that share trainings share their errors.

    Each draw uses one variance for all trainings, from its posterior (variance * freedom / chi
    squared), minus the bootstrap's part, then normal errors. Objectives are independent, and the
    draws of one do not depend on how many come after it.
    """
    parts = np.asarray(shares, dtype=np.float64)
    found = np.zeros((len(spread.variance), len(parts), draws))
    if not spread.freedom or not parts.any():
        return found.T
    adds = [(*place, parts[place]) for place in zip(*np.nonzero(parts), strict=True)]
    for k, own in enumerate(found):
        scale, normal = standard_draws(parts.shape[1], draws, seed + k, spread.freedom)
        variance = scale * spread.variance[k] - spread.within[k]
        deviation = np.sqrt(np.maximum(0.0, variance))
        for point, training, share in adds:
            own[point] += share * (normal[training] * deviation)
    return found.T
