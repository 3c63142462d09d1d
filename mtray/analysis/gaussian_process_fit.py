"""Hyperparameters (length scales, signal, slope, noise) of a Gaussian process, by maximum a
posteriori: arrays in, arrays out.

The prior on length scales grows with the square root of the number of coordinates, as distances do
(Hvarfner et al. 2024, "Vanilla Bayesian Optimization Performs Great in High Dimensions"); by
default it is narrow, since with few points a wide one lets a single coordinate explain everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize

from mtray.analysis.gaussian_process import JITTER, SQRT5, Process, conditioned, linear_kernel
from mtray.analysis.shared_errors import own_variances

Array = npt.NDArray[np.float64]
# (mean, deviation) of the normal priors on logarithms; the values are scaled to variance 1
SIGNAL = (0.0, 1.0)
SLOPE = (0.0, 1.0)
NOISE = (-4.0, 1.5)
LOG_BOUNDS = (-7.0, 7.0)
OFFSET = 1e3  # prior variance of the mean of values of variance 1: nearly flat
NO_SLOPE = -30.0  # log variance of the linear kernel where there is none
LEAST_NOISE = -11.0  # of the log variance, so that the kernel matrix stays invertible
FITTED_TO = 300  # most points that hyperparameters are fitted to: time grows with the cube
# spreads that count as zero: relative to the largest value, and to the root mean square error
ROUNDING, NEXT_TO_NONE = 1e-9, 1e-3


@dataclass(frozen=True)
class LengthScales:
    """A log-normal prior on the length scale of a coordinate.

    - `at_one`: the number of coordinates for which the median is 1.
    - `deviation`: standard deviation of the logarithm.
    """

    at_one: float = 5.0
    deviation: float = 0.7

    def middle(self, coordinates: int) -> float:
        """Logarithm of the median if the points have this many coordinates (0 counts as 1)."""
        return 0.5 * math.log(max(coordinates, 1) / self.at_one)


LONG = LengthScales()  # that of processes that estimate values


@dataclass(frozen=True)
class ScaledData:
    """Standardised values, as a process is fitted to them, and the priors; n points of d
    coordinates.

    - `points`: shape (n, d).
    - `values`: shape (n,), as (value - `shift`) / `unit`.
    - `shift`, `unit`: in the values' original unit.
    - `known`: covariance of the values' known errors, shape (n, n), in units of `unit`^2.
    - `offset`: prior variance of the mean; 0: the mean is `shift`.
    - `middle`, `deviation`: of the normal priors on the logarithms of the hyperparameters (length
      scales, signal, slope, noise), each of shape (d + 3,).
    - `linear`: whether there is a linear kernel; without, `slope` is next to 0.
    """

    points: Array
    values: Array
    shift: float
    unit: float
    known: Array
    offset: float
    middle: Array
    deviation: Array
    linear: bool = True

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """Bounds of the logarithms of the hyperparameters."""
        slope = LOG_BOUNDS if self.linear else (NO_SLOPE, NO_SLOPE)
        return [LOG_BOUNDS] * (len(self.middle) - 2) + [slope, (LEAST_NOISE, 2.0)]

    def process(self, theta: Array) -> Process:
        """The process with the hyperparameters exp(`theta`)."""
        unit = (self.shift, self.unit)
        return conditioned(self.points, self.values, unit, theta, self.known, self.offset)

    def likelihood(self, most: int) -> Callable[[Array], tuple[float, Array]]:
        """A function of the logarithms of the hyperparameters that returns the negative log
        likelihood and its gradient. It uses at most `most` of the values, evenly spaced from the
        first to the last."""
        n = len(self.points)
        some = np.linspace(0, n - 1, min(n, most)).round().astype(np.int64)
        x, y = self.points[some], self.values[some]
        squares, products = np.square(x[:, None, :] - x[None, :, :]), linear_kernel(x, x)
        own = np.diag(own_variances(self.known)[some]) + self.offset
        return lambda theta: _negative_log_likelihood(theta, squares, products, y, own)


def scaled(
    points: npt.ArrayLike,
    values: npt.ArrayLike,
    errors: npt.ArrayLike | None = None,
    linear: bool = True,
    scales: Sequence[LengthScales] | None = None,
) -> ScaledData:
    """Standardised values; arguments as for `fit`. Raises ValueError for other shapes, no points,
    or numbers that are not finite."""
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
    scales = scales or [LONG] * d
    if len(scales) != d:
        raise ValueError(f"expected {d} priors on length scales, found {len(scales)}")
    slope = SLOPE[0] if linear else NO_SLOPE
    return ScaledData(
        x, (y - shift) / unit, shift, unit, known / unit**2, 0.0 if errors is None else OFFSET,
        middle=np.array([*[s.middle(d) for s in scales], SIGNAL[0], slope, NOISE[0]]),
        deviation=np.array([*[s.deviation for s in scales], SIGNAL[1], SLOPE[1], NOISE[1]]),
        linear=linear,
    )  # fmt: skip


def fit(
    points: npt.ArrayLike,
    values: npt.ArrayLike,
    errors: npt.ArrayLike | None = None,
    linear: bool = True,
    scales: Sequence[LengthScales] | None = None,
) -> Process:
    """The process fitted to `values`, shape (n,), at `points`, shape (n, d).

    `errors`, shape (n, n), is the known covariance of the values' errors; a fitted noise of equal
    variance at all points is added to it. All values may share an error, so with `errors` the mean
    has a nearly flat prior. `linear`: with a linear kernel. `scales`: the prior on each
    coordinate's length scale (None: `LONG` for all). Hyperparameters are fitted to at most
    `FITTED_TO` points, evenly spaced from the first to the last; the process is then conditioned on
    all points. Raises ValueError for other shapes, no points, or numbers that are not finite.
    """
    known = scaled(points, values, errors, linear, scales)
    return known.process(most_likely(known))


def most_likely(known: ScaledData) -> Array:
    """The maximum a posteriori of the logarithms of the hyperparameters (length scales, signal,
    slope, noise), shape (d + 3,)."""
    likelihood, middle, deviation = known.likelihood(FITTED_TO), known.middle, known.deviation

    def loss(theta: Any) -> tuple[float, Array]:
        value, gradient = likelihood(theta)
        off = (theta - middle) / deviation
        return value + 0.5 * float(off @ off), gradient + off / deviation

    slope = 0.0 if known.linear else NO_SLOPE
    other = [*[math.log(0.5)] * (len(middle) - 3), 0.0, slope, math.log(0.05)]
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
