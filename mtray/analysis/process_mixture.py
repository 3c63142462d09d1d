"""A Gaussian process whose scales and noise are not taken as known: a mixture of processes, one for
each draw of them from their posterior. Arrays in, arrays out.

With as few values as a sweep has, the most likely scales claim more than the values say: intervals
are too narrow, and what was not tried looks better than it is. Averaging over the posterior mends
part of that (Neal 1998, "Regression and Classification Using Gaussian Process Priors"). Draws are
by elliptical slice sampling, which suits normal priors and has nothing to tune (Murray, Adams &
MacKay 2010, "Elliptical slice sampling").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mtray.analysis.gaussian_process import Process, Scaled, most_likely, scaled

Array = npt.NDArray[np.float64]
COUNT = 12  # processes
APART = 5  # steps of the chain between two of them
BEGIN = 10  # steps before the first, from the most likely
SEED = 3
MOST = 100  # values: with more, scales and noise are known well enough, and draws take long


@dataclass(frozen=True)
class ProcessMixture:
    """Processes of the same values at the same points, each as likely as the others."""

    parts: tuple[Process, ...]

    @property
    def points(self) -> Array:
        """Of the values, shape (n, d)."""
        return self.parts[0].points

    def predict(self, at: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the value without noise at points of shape (k, d), each of
        shape (k,), in the unit of the values."""
        return _mixed([part.predict(at) for part in self.parts])

    def joint(self, at: Array) -> tuple[Array, Array]:
        """Mean, shape (k,), and covariance, shape (k, k), of the values without noise at points of
        shape (k, d), in the unit of the values and its square: the mean covariance and the
        covariance of the means."""
        found = [part.joint(at) for part in self.parts]
        means = np.array([mean for mean, _ in found])
        off = means - means.mean(axis=0)
        within = sum(covariance for _, covariance in found) / len(found)
        return means.mean(axis=0), np.asarray(within + off.T @ off / len(found))

    def draws(self, at: Array, count: int, rng: np.random.Generator) -> Array:
        """Joint draws of the value without noise at points of shape (k, d), shape (count, k), as
        many of each process."""
        shares = np.array_split(np.arange(count), len(self.parts))
        found = [p.draws(at, len(own), rng) for p, own in zip(self.parts, shares, strict=True)]
        # in any order: draws of several mixtures stand side by side
        return rng.permutation(np.concatenate(found))

    def left_out(self) -> tuple[Array, Array]:
        """Of every value, what the others predict would be measured there: means and standard
        deviations with the value's own error in them, each of shape (n,), in the values' unit.
        Scales and noise stay as drawn for all."""
        return _mixed([part.left_out() for part in self.parts])


def _mixed(found: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Mean and standard deviation of equal shares of normals."""
    means, deviations = (np.array(part) for part in zip(*found, strict=True))
    return means.mean(axis=0), np.sqrt((deviations**2).mean(axis=0) + means.var(axis=0))


def fit_mixture(points: Array, values: Array, errors: Array) -> ProcessMixture:
    """Of `values`, shape (n,), at `points`, shape (n, d), with known errors of covariance `errors`,
    shape (n, n). With more than `MOST` values it is the one process of the most likely scales and
    noise. ValueError for other shapes, no points, or numbers that are not finite."""
    known = scaled(points, values, errors)
    start = most_likely(known)
    if len(known.points) > MOST:
        return ProcessMixture((known.process(start),))
    likelihood = known.likelihood(MOST)
    low, high = np.array(known.bounds).T

    def log_likelihood(theta: Array) -> float:
        inside = ((low <= theta) & (theta <= high)).all()
        return -likelihood(theta)[0] if inside else -math.inf

    drawn = posterior_draws(log_likelihood, known, start)
    return ProcessMixture(tuple(known.process(theta) for theta in drawn))


def posterior_draws(
    log_likelihood: Callable[[Array], float], prior: Scaled, start: Array, count: int = COUNT
) -> list[Array]:
    """Draws from normal priors times a likelihood, which is above 0 at `start`."""
    rng = np.random.default_rng(SEED)
    off, known, found = start - prior.middle, log_likelihood(start), []
    for step in range(BEGIN + APART * count):
        other = prior.deviation * rng.standard_normal(len(off))
        least = known + math.log(rng.random())
        angle = rng.uniform(0, 2 * math.pi)
        low, high = angle - 2 * math.pi, angle
        while True:  # ends: at angle 0 is where it stands, whose likelihood is above the least
            moved = off * math.cos(angle) + other * math.sin(angle)
            value = log_likelihood(prior.middle + moved)
            if value > least:
                off, known = moved, value
                break
            low, high = (angle, high) if angle < 0 else (low, angle)
            angle = rng.uniform(low, high)
        if step >= BEGIN and (step - BEGIN + 1) % APART == 0:
            found.append(prior.middle + off)
    return found
