"""A Gaussian process with uncertain hyperparameters: an equally weighted mixture of processes, one
for each posterior draw of length scales, signal, slope and noise. Arrays in, arrays out.

With as few values as a sweep has, a process with only the most likely hyperparameters is
overconfident: intervals are too narrow, and untrained recipes look better than they are. Averaging
over the posterior corrects part of that (Neal 1998, "Regression and Classification Using Gaussian
Process Priors"). Draws are by elliptical slice sampling, which suits normal priors and has nothing
to tune (Murray, Adams & MacKay 2010, "Elliptical slice sampling").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mtray.analysis.gaussian_process import Process
from mtray.analysis.gaussian_process_fit import ScaledData, most_likely, scaled

Array = npt.NDArray[np.float64]
COUNT = 12  # processes in a mixture
APART = 5  # thinning: steps of the chain for each draw that is kept
BEGIN = 10  # burn-in steps; the chain starts at the most likely hyperparameters
SEED = 3
MOST = 100  # values; with more, hyperparameters are determined well enough, and draws take long


@dataclass(frozen=True)
class ProcessMixture:
    """Equally weighted processes, fitted to the same values at the same points."""

    parts: tuple[Process, ...]

    @property
    def points(self) -> Array:
        """The points of the values, shape (n, d)."""
        return self.parts[0].points

    def predict(self, at: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the value without noise at points of shape (k, d), each of
        shape (k,), in the unit of the values."""
        return _mixed([part.predict(at) for part in self.parts])

    def means(self, at: Array) -> Array:
        """The means of `predict`, without the work for the deviations, shape (k,)."""
        return np.asarray(np.mean([part.means(at) for part in self.parts], axis=0))

    def joint(self, at: Array) -> tuple[Array, Array]:
        """Mean, shape (k,), and covariance, shape (k, k), of the values without noise at points of
        shape (k, d), in the unit of the values and its square. By the law of total covariance: the
        mean of the parts' covariances plus the covariance of their means."""
        found = [part.joint(at) for part in self.parts]
        means = np.array([mean for mean, _ in found])
        off = means - means.mean(axis=0)
        within = sum(covariance for _, covariance in found) / len(found)
        return means.mean(axis=0), np.asarray(within + off.T @ off / len(found))

    def draws(self, at: Array, count: int, rng: np.random.Generator) -> Array:
        """Joint draws of the value without noise at points of shape (k, d), shape (count, k),
        equally many from each process."""
        shares = np.array_split(np.arange(count), len(self.parts))
        found = [p.draws(at, len(own), rng) for p, own in zip(self.parts, shares, strict=True)]
        # shuffled, since draws of several mixtures (one for each measure) are paired by row
        return rng.permutation(np.concatenate(found))

    def left_out(self) -> tuple[Array, Array]:
        """Leave-one-out predictions: for every value, mean and standard deviation of a measurement
        there as predicted from the other values, including its own error; each of shape (n,), in
        the values' unit. Hyperparameters stay those drawn given all values."""
        return _mixed([part.left_out() for part in self.parts])


def _mixed(found: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Mean and standard deviation of an equally weighted mixture of normals."""
    means, deviations = (np.array(part) for part in zip(*found, strict=True))
    return means.mean(axis=0), np.sqrt((deviations**2).mean(axis=0) + means.var(axis=0))


def fit_mixture(points: Array, values: Array, errors: Array) -> ProcessMixture:
    """The mixture for `values`, shape (n,), at `points`, shape (n, d), with errors of known
    covariance `errors`, shape (n, n). With more than `MOST` values it has one part only, with the
    most likely hyperparameters. Raises ValueError for other shapes, no points, or numbers that are
    not finite."""
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
    log_likelihood: Callable[[Array], float], prior: ScaledData, start: Array, count: int = COUNT
) -> list[Array]:
    """`count` draws from the posterior under the normal priors of `prior`. The likelihood must be
    above 0 at `start`."""
    rng = np.random.default_rng(SEED)
    off, known, found = start - prior.middle, log_likelihood(start), []
    for step in range(BEGIN + APART * count):
        other = prior.deviation * rng.standard_normal(len(off))
        least = known + math.log(rng.random())
        angle = rng.uniform(0, 2 * math.pi)
        low, high = angle - 2 * math.pi, angle
        while True:  # ends: angle 0 is the current state, whose likelihood is above `least`
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
