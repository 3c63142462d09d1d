"""A Gaussian process for a few hundred noisy values: arrays in, arrays out.

Matérn-5/2 kernel with a length scale for each coordinate (Rasmussen & Williams 2006, "Gaussian
Processes for Machine Learning", section 4.2) plus a linear kernel.
`mtray.analysis.gaussian_process_fit` finds its hyperparameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.linalg import blas, cho_solve, cholesky, lapack, solve_triangular

from mtray.analysis.shared_errors import own_variances

Array = npt.NDArray[np.float64]
SQRT5 = math.sqrt(5.0)
MIDDLE = 0.5
JITTER = 1e-9
MANY = 400  # points above which draws are made by Cholesky, in a tenth of the time
WIDE = 1.5  # for a variance that is estimated from some 250 draws: over five of its errors more


@dataclass(frozen=True)
class Process:
    """A fitted process.

    - `points`: shape (n, d), coordinates of about [0, 1].
    - `shift`, `unit`: the values were fitted as (value - `shift`) / `unit`; the fields below are in
      that scale.
    - `scales`: length scales, shape (d,).
    - `signal`, `slope`, `noise`: variances of the Matérn kernel, the linear kernel and the noise.
    - `known`: covariance of the values' known errors, shape (n, n).
    - `offset`: prior variance of the mean; 0: the mean is `shift`.
    - `factor`: lower Cholesky factor of kernel + noise + each value's own part of the known errors
      (`mtray.analysis.shared_errors`).
    - `weights`: (what `factor` is of)^-1 values, shape (n,).
    """

    points: Array
    shift: float
    unit: float
    scales: Array
    signal: float
    slope: float
    noise: float
    known: Array
    offset: float
    factor: Array
    weights: Array

    @cached_property
    def shared(self) -> Array | None:
        """The part of the known errors beyond each value's own, shape (n, n). It does not affect
        the mean, but is added in full to its variance. None: there is none."""
        found = self.known.copy()
        found[np.diag_indices_from(found)] -= own_variances(self.known)
        return found if found.any() else None

    def _gain(self, solved: Array) -> Array:
        """The weight of every value in the mean at k points, shape (n, k); `solved`: `factor`^-1
        times their kernel with the values' points."""
        return np.asarray(solve_triangular(self.factor, solved, lower=True, trans=1))

    def means(self, at: Array) -> Array:
        """The means of `predict`, without the work for the deviations, shape (k,)."""
        return np.asarray(self.shift + self.unit * (self._kernel(at, self.points) @ self.weights))

    def predict(self, at: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the value without noise at points of shape (k, d), each of
        shape (k,), in the unit of the values."""
        cross = self._kernel(at, self.points)
        own = self.offset + self.signal + self.slope * ((at - MIDDLE) ** 2).sum(axis=1)
        solved = solve_triangular(self.factor, cross.T, lower=True)
        variance = np.maximum(own - (solved**2).sum(axis=0), 1e-12 * self.signal)
        if self.shared is not None:
            gain = self._gain(solved)
            variance = np.maximum(variance + (gain * (self.shared @ gain)).sum(axis=0), 0.0)
        return self.shift + self.unit * (cross @ self.weights), self.unit * np.sqrt(variance)

    def joint(self, at: Array) -> tuple[Array, Array]:
        """Mean, shape (k,), and covariance, shape (k, k), of the values without noise at points of
        shape (k, d), in the unit of the values and its square."""
        cross = self._kernel(at, self.points)
        solved = solve_triangular(self.factor, cross.T, lower=True)
        covariance = self._kernel(at, at) - solved.T @ solved
        if self.shared is not None:
            gain = self._gain(solved)
            covariance = covariance + gain.T @ self.shared @ gain
        return self.shift + self.unit * (cross @ self.weights), self.unit**2 * covariance

    def draws(self, at: Array, count: int, rng: np.random.Generator) -> Array:
        """Joint draws of the value without noise at points of shape (k, d), shape (count, k)."""
        return drawn(*self.joint(at), count, rng)

    def left_out(self) -> tuple[Array, Array]:
        """Leave-one-out predictions: for every value, mean and standard deviation of a measurement
        there as predicted from the other values, including its own error, with the shared errors
        unchanged; each of shape (n,), in the values' unit. Hyperparameters stay as fitted to all
        values (Rasmussen & Williams 2006, section 5.4.2)."""
        variance = 1 / self._precisions
        mean = self._values - self.weights * variance
        return self.shift + self.unit * mean, self.unit * np.sqrt(variance)

    def own_means(self) -> Array:
        """The means of `predict` at the values' own points, in no time, shape (n,)."""
        return np.asarray(self.shift + self.unit * (self._values - self._own * self.weights))

    def own_deviations(self, reference: int | None, errors: Array) -> Array:
        """At most the standard deviations of the values without noise at their own points, shape
        (n,), or of their differences from that at the point `reference`. `errors`: draws of the
        values' known errors, in their unit, shape (draws, n).

        With the kernel K and the values' own noise S, their covariance is S - S (K + S)^-1 S. The
        known errors e, of which a part is in S already, add (I - S (K + S)^-1) e."""
        solved = cho_solve((self.factor, True), errors.T / self.unit)
        moved = errors.T / self.unit - self._own[:, None] * solved
        variance = self._own - self._own**2 * self._precisions
        if reference is not None:
            moved -= moved[reference]
            beside = cho_solve((self.factor, True), np.eye(1, len(self.points), reference)[0])
            crossed = -self._own * self._own[reference] * beside
            crossed[reference] = variance[reference]
            variance = variance + variance[reference] - 2 * crossed
        found = np.maximum(variance, 0.0) + WIDE * moved.var(axis=1)
        return np.asarray(self.unit * np.sqrt(found))

    @cached_property
    def _values(self) -> Array:
        """The values, scaled, shape (n,)."""
        return np.asarray(self.factor @ (self.factor.T @ self.weights))

    @cached_property
    def _own(self) -> Array:
        """The variance of each value's own noise, shape (n,)."""
        return np.asarray(self.noise + JITTER + own_variances(self.known))

    @cached_property
    def _precisions(self) -> Array:
        """The diagonal of (what `factor` is of)^-1, shape (n,)."""
        inverse, _ = lapack.dtrtri(self.factor, lower=1)
        return np.asarray(np.square(inverse).sum(axis=0))

    def _kernel(self, a: Array, b: Array) -> Array:
        curved = self.signal * matern(distances(a, b, self.scales))
        return np.asarray(curved + self.slope * linear_kernel(a, b) + self.offset)

    def with_points(self, points: Array, values: Array) -> Process:
        """The process conditioned on further values, with the same hyperparameters."""
        before = self.factor @ (self.factor.T @ self.weights)
        added = (values - self.shift) / self.unit
        return conditioned(
            np.vstack([self.points, points]), np.concatenate([before, added]),
            (self.shift, self.unit), np.log([*self.scales, self.signal, self.slope, self.noise]),
            np.pad(self.known, (0, len(points))), self.offset,
        )  # fmt: skip


def conditioned(
    x: Array, scaled: Array, unit: tuple[float, float], theta: Array, known: Array, offset: float
) -> Process:
    scales, (signal, slope, noise) = np.exp(theta[:-3]), np.exp(theta[-3:]).tolist()
    noisy = signal * matern(distances(x, x, scales)) + slope * linear_kernel(x, x) + offset
    noisy[np.diag_indices_from(noisy)] += noise + JITTER + own_variances(known)
    factor = cholesky(noisy, lower=True)
    weights = cho_solve((factor, True), scaled)
    return Process(x, *unit, scales, signal, slope, noise, known, offset, factor, weights)


def distances(a: Array, b: Array, scales: Array) -> Array:
    """Euclidean distances in units of the length scales, shape (len(a), len(b))."""
    a, b = a / scales, b / scales
    squares = (-2 * a) @ b.T
    squares += (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :]
    return np.asarray(np.sqrt(np.maximum(squares, 0.0, out=squares), out=squares))


def drawn(mean: Array, covariance: Array, count: int, rng: np.random.Generator) -> Array:
    """Normal draws of shape (count, k)."""
    if len(mean) > MANY:
        factor, order = _pivoted(covariance)
        normal = rng.standard_normal((count, len(mean))).T
        found = np.empty((count, len(mean)))
        found[:, order] = blas.dtrmm(1.0, factor, normal, lower=1, overwrite_b=1).T
        found += mean
        return found
    # not by Cholesky: the covariance of neighbouring points is singular up to rounding
    variances, axes = np.linalg.eigh(covariance)
    factor = axes * np.sqrt(np.maximum(variances, 0.0))
    return np.asarray(mean + rng.standard_normal((count, len(mean))) @ factor.T)


def _pivoted(covariance: Array) -> tuple[Array, npt.NDArray[np.int64]]:
    """The lower Cholesky factor of a covariance with its rows in another order, and this order; the
    covariance may be singular up to rounding."""
    factor, order, rank, _ = lapack.dpstrf(covariance, lower=1)
    factor[:, rank:] = 0.0  # not computed
    return factor, order - 1


def linear_kernel(a: Array, b: Array) -> Array:
    """The linear kernel, centred at the middle of the unit cube."""
    return np.asarray((a - MIDDLE) @ (b - MIDDLE).T)


def matern(r: Array) -> Array:
    found = np.exp(-SQRT5 * r)
    found *= 1 + r * (SQRT5 + 5 / 3 * r)
    return np.asarray(found)
