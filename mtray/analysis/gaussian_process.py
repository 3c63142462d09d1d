"""A Gaussian process for a few hundred noisy values: arrays in, arrays out.

Matérn-5/2 kernel with a length scale for each coordinate (Rasmussen & Williams 2006, "Gaussian
Processes for Machine Learning", section 4.2) plus a linear kernel; hyperparameters (length scales,
signal, slope, noise) by maximum a posteriori. The prior on length scales grows with the square root
of the number of coordinates, as distances do (Hvarfner et al. 2024, "Vanilla Bayesian Optimization
Performs Great in High Dimensions"); it is narrow, since with few points a wide one lets a single
coordinate explain everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from mtray.analysis.shared_errors import own_errors

Array = npt.NDArray[np.float64]
SQRT5 = math.sqrt(5.0)
# (mean, deviation) of the normal priors on logarithms; the values are scaled to variance 1
SCALE_DEVIATION = 0.7
SCALE_AT_ONE = 5  # number of coordinates for which the prior's median length scale is 1
SIGNAL = (0.0, 1.0)
SLOPE = (0.0, 1.0)
MIDDLE = 0.5
NOISE = (-4.0, 1.5)
LOG_BOUNDS = (-7.0, 7.0)
OFFSET = 1e3  # prior variance of the mean of values of variance 1: nearly flat
LEAST_NOISE = -11.0  # of the log variance, so that the kernel matrix stays invertible
JITTER = 1e-9
FITTED_TO = 300  # most points that hyperparameters are fitted to: time grows with the cube
# spreads that count as none: relative to the largest value, and to the root mean square error
ROUNDING, NEXT_TO_NONE = 1e-9, 1e-3


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
    def shared(self) -> Array:
        """What the known errors have beyond each value's own part, shape (n, n): it has no say in
        the mean, and all of it in how sure that is."""
        return self.known - own_errors(self.known)

    def predict(self, at: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the value without noise at points of shape (k, d), each of
        shape (k,), in the unit of the values."""
        cross = self._kernel(at, self.points)
        own = self.offset + self.signal + self.slope * ((at - MIDDLE) ** 2).sum(axis=1)
        solved = solve_triangular(self.factor, cross.T, lower=True)
        variance = np.maximum(own - (solved**2).sum(axis=0), 1e-12 * self.signal)
        gain = solve_triangular(self.factor, solved, lower=True, trans=1)
        variance = np.maximum(variance + (gain * (self.shared @ gain)).sum(axis=0), 0.0)
        return self.shift + self.unit * (cross @ self.weights), self.unit * np.sqrt(variance)

    def joint(self, at: Array) -> tuple[Array, Array]:
        """Mean, shape (k,), and covariance, shape (k, k), of the values without noise at points of
        shape (k, d), in the unit of the values and its square."""
        cross = self._kernel(at, self.points)
        solved = solve_triangular(self.factor, cross.T, lower=True)
        gain = solve_triangular(self.factor, solved, lower=True, trans=1)
        covariance = self._kernel(at, at) - solved.T @ solved + gain.T @ self.shared @ gain
        return self.shift + self.unit * (cross @ self.weights), self.unit**2 * covariance

    def draws(self, at: Array, count: int, rng: np.random.Generator) -> Array:
        """Joint draws of the value without noise at points of shape (k, d), shape (count, k)."""
        return drawn(*self.joint(at), count, rng)

    def left_out(self) -> tuple[Array, Array]:
        """Leave-one-out predictions: for every value, mean and standard deviation of a measurement
        there as predicted from the other values, with its own error in them and the shared ones as
        they are; each of shape (n,), in the values' unit. Hyperparameters stay as fitted to all
        values (Rasmussen & Williams 2006, section 5.4.2)."""
        precision = cho_solve((self.factor, True), np.eye(len(self.points)))
        variance = 1 / np.diag(precision)
        values = self.factor @ (self.factor.T @ self.weights)
        mean = values - self.weights * variance
        return self.shift + self.unit * mean, self.unit * np.sqrt(variance)

    def _kernel(self, a: Array, b: Array) -> Array:
        curved = self.signal * _matern(_distances(a, b, self.scales))
        return np.asarray(curved + self.slope * _products(a, b) + self.offset)

    def with_points(self, points: Array, values: Array) -> Process:
        """The process conditioned on further values, with the same hyperparameters."""
        before = self.factor @ (self.factor.T @ self.weights)
        added = (values - self.shift) / self.unit
        return _conditioned(
            np.vstack([self.points, points]), np.concatenate([before, added]),
            (self.shift, self.unit), np.log([*self.scales, self.signal, self.slope, self.noise]),
            np.pad(self.known, (0, len(points))), self.offset,
        )  # fmt: skip


@dataclass(frozen=True)
class Scaled:
    """Standardised values, as a process is fitted to them, and the priors; n points of d
    coordinates.

    - `points`: shape (n, d).
    - `values`: shape (n,), as (value - `shift`) / `unit`.
    - `shift`, `unit`: in the values' original unit.
    - `known`: covariance of the values' known errors, shape (n, n), in units of `unit`^2.
    - `offset`: prior variance of the mean; 0: the mean is `shift`.
    - `middle`, `deviation`: of the normal priors on the logarithms of the hyperparameters (length
      scales, signal, slope, noise), each of shape (d + 3,).
    """

    points: Array
    values: Array
    shift: float
    unit: float
    known: Array
    offset: float
    middle: Array
    deviation: Array

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """Bounds of the logarithms of the hyperparameters."""
        return [LOG_BOUNDS] * (len(self.middle) - 1) + [(LEAST_NOISE, 2.0)]

    def process(self, theta: Array) -> Process:
        """The process with the hyperparameters exp(`theta`)."""
        unit = (self.shift, self.unit)
        return _conditioned(self.points, self.values, unit, theta, self.known, self.offset)

    def likelihood(self, most: int) -> Callable[[Array], tuple[float, Array]]:
        """A function of the logarithms of the hyperparameters that returns the negative log
        likelihood and its gradient. It uses at most `most` of the values, evenly spaced from the
        first to the last."""
        n = len(self.points)
        some = np.linspace(0, n - 1, min(n, most)).round().astype(np.int64)
        x, y = self.points[some], self.values[some]
        squares, products = np.square(x[:, None, :] - x[None, :, :]), _products(x, x)
        own = own_errors(self.known)[np.ix_(some, some)] + self.offset
        return lambda theta: _negative_log_likelihood(theta, squares, products, y, own)


def scaled(
    points: npt.ArrayLike, values: npt.ArrayLike, errors: npt.ArrayLike | None = None
) -> Scaled:
    """Standardised values; arguments as for `fit`. ValueError for other shapes, no points, or
    numbers that are not finite."""
    x, y = np.asarray(points, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if x.ndim != 2 or y.shape != (len(x),) or not len(x):
        raise ValueError(f"expected points (n, d) and n values, found {x.shape} and {y.shape}")
    known = np.zeros((len(x), len(x))) if errors is None else np.asarray(errors, dtype=np.float64)
    if known.shape != (len(x), len(x)):
        raise ValueError(f"expected errors of shape {(len(x), len(x))}, found {known.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all() and np.isfinite(known).all()):
        raise ValueError("a point, a value or an error is not finite")
    shift, unit = float(y.mean()), float(y.std()) or 1.0
    if errors is not None:
        unit = _unit(y, known)
    d = x.shape[1]
    prior = 0.5 * math.log(max(d, 1) / SCALE_AT_ONE)
    return Scaled(
        x, (y - shift) / unit, shift, unit, known / unit**2, 0.0 if errors is None else OFFSET,
        middle=np.array([*[prior] * d, SIGNAL[0], SLOPE[0], NOISE[0]]),
        deviation=np.array([*[SCALE_DEVIATION] * d, SIGNAL[1], SLOPE[1], NOISE[1]]),
    )  # fmt: skip


def fit(
    points: npt.ArrayLike, values: npt.ArrayLike, errors: npt.ArrayLike | None = None
) -> Process:
    """The process fitted to `values`, shape (n,), at `points`, shape (n, d).

    `errors`, shape (n, n), is the known covariance of the values' errors; a fitted noise of equal
    variance at all points is added to it. All values may share an error, so with `errors` the mean
    has a nearly flat prior. Hyperparameters are fitted to at most `FITTED_TO` points, evenly spaced
    from the first to the last; the process is then conditioned on all points. ValueError for other
    shapes, no points, or numbers that are not finite."""
    known = scaled(points, values, errors)
    return known.process(most_likely(known))


def most_likely(known: Scaled) -> Array:
    """The maximum a posteriori of the logarithms of the hyperparameters (length scales, signal,
    slope, noise), shape (d + 3,)."""
    likelihood, middle, deviation = known.likelihood(FITTED_TO), known.middle, known.deviation

    def loss(theta: Any) -> tuple[float, Array]:
        value, gradient = likelihood(theta)
        off = (theta - middle) / deviation
        return value + 0.5 * float(off @ off), gradient + off / deviation

    other = [*[math.log(0.5)] * (len(middle) - 3), 0.0, 0.0, math.log(0.05)]
    found: list[Any] = [
        minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=known.bounds, options={"maxiter": 100}
        )
        for start in (middle, np.array(other))
    ]
    return np.asarray(min(found, key=lambda f: float(f.fun)).x)


def _unit(y: Array, known: Array) -> float:
    """The values' standard deviation. If they differ only by rounding, or by far less than their
    errors, the root mean square of their errors; without errors, the size of the rounding."""
    error, rounding = (
        float(np.sqrt(np.diag(known).mean())),
        ROUNDING * (float(np.abs(y).max()) or 1),
    )
    spread = float(y.std())
    return spread if spread > max(rounding, NEXT_TO_NONE * error) else max(error, rounding)


def _conditioned(
    x: Array, scaled: Array, unit: tuple[float, float], theta: Array, known: Array, offset: float
) -> Process:
    scales, (signal, slope, noise) = np.exp(theta[:-3]), np.exp(theta[-3:]).tolist()
    kernel = signal * _matern(_distances(x, x, scales)) + slope * _products(x, x)
    noisy = kernel + (noise + JITTER) * np.eye(len(x)) + own_errors(known) + offset
    factor = cholesky(noisy, lower=True)
    weights = cho_solve((factor, True), scaled)
    return Process(x, *unit, scales, signal, slope, noise, known, offset, factor, weights)


def _distances(a: Array, b: Array, scales: Array) -> Array:
    """Euclidean distances in units of the length scales, shape (len(a), len(b))."""
    a, b = a / scales, b / scales
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)))


def drawn(mean: Array, covariance: Array, count: int, rng: np.random.Generator) -> Array:
    """Normal draws of shape (count, k)."""
    # not by Cholesky: the covariance of neighbouring points is singular up to rounding
    variances, axes = np.linalg.eigh(covariance)
    factor = axes * np.sqrt(np.maximum(variances, 0.0))
    return np.asarray(mean + rng.standard_normal((count, len(mean))) @ factor.T)


def _products(a: Array, b: Array) -> Array:
    """The linear kernel, centred at the middle of the unit cube."""
    return np.asarray((a - MIDDLE) @ (b - MIDDLE).T)


def _matern(r: Array) -> Array:
    return np.asarray((1 + SQRT5 * r + 5 / 3 * r**2) * np.exp(-SQRT5 * r))


def _negative_log_likelihood(
    theta: Any, squares: Array, products: Array, y: Array, known: Array
) -> tuple[float, Array]:
    """With its gradient in the logarithms of the hyperparameters.

    `squares` are coordinate-wise squared differences, shape (n, n, d), `products` of shape (n, n).
    """
    n = len(y)
    inverse = np.exp(-2 * theta[:-3])
    signal, slope, noise = np.exp(theta[-3:]).tolist()
    r = np.sqrt(squares @ inverse)
    decay = np.exp(-SQRT5 * r)
    kernel = signal * (1 + SQRT5 * r + 5 / 3 * r**2) * decay
    noisy = kernel + slope * products + (noise + JITTER) * np.eye(n) + known
    factor = cholesky(noisy, lower=True)
    weights = cho_solve((factor, True), y)
    value = 0.5 * float(y @ weights) + float(np.log(np.diag(factor)).sum())
    # d value / d K = (K^-1 - w w^T) / 2
    outer = 0.5 * (cho_solve((factor, True), np.eye(n)) - np.outer(weights, weights))
    by_scale = outer * (signal * 5 / 3 * (1 + SQRT5 * r) * decay)
    gradient = [
        *(np.tensordot(by_scale, squares, axes=([0, 1], [0, 1])) * inverse),
        float((outer * kernel).sum()),
        slope * float((outer * products).sum()),
        noise * float(np.trace(outer)),
    ]
    return value, np.array(gradient)
