"""How well a model of a run's recipes predicts a recipe that it was not fitted to: arrays in,
arrays out.

Each recipe in turn is left out, the model is fitted to the rest, and its prediction is compared
with the measurement. Errors of recipes are correlated (all are differences to one base model on the
same segments), so knowledge of the others' errors is informative about this one's. A model
therefore predicts the measured value, including its error, and not the true value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mtray.analysis.uncertainty import Z95

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Predict(Protocol):
    """A fitted model of values at points.

    `at`, shape (k, d). `cross`, shape (k, n): covariance of the errors of new measurements there
    with those of the n fitted ones. `own`, shape (k,): the variance of their own errors. Returns
    mean and variance, shape (k,) each, of a measurement; with zeros (None), of the true value.
    """

    def __call__(
        self, at: Array, cross: Array | None = None, own: Array | None = None
    ) -> tuple[Array, Array]: ...


# points (n, d), values (n,), covariance (n, n) of the values' errors
Fit = Callable[[Array, Array, Array], Predict]


@dataclass(frozen=True)
class LeftOut:
    """Every value and its prediction from the others, shape (n,) each.

    - `values`: as measured.
    - `means`, `deviations`: of the predicted measurement, including its own error.
    """

    values: Array
    means: Array
    deviations: Array

    @property
    def rmse(self) -> float:
        """Root mean squared difference, in the values' unit."""
        return float(np.sqrt(np.mean((self.values - self.means) ** 2)))

    @property
    def coverage(self) -> float:
        """The share of values within their 95 % interval."""
        return float(np.mean(np.abs(self.values - self.means) <= Z95 * self.deviations))

    @property
    def log_densities(self) -> Array:
        """Log densities of the values under their normal predictions, shape (n,)."""
        scaled = (self.values - self.means) / self.deviations
        return np.asarray(-0.5 * (scaled**2 + np.log(2 * np.pi * self.deviations**2)))

    @property
    def log_density(self) -> float:
        """The mean log density; greater is better."""
        return float(self.log_densities.mean())

    def margin(self, other: LeftOut) -> tuple[float, float]:
        """By how much the mean log density exceeds another model's on the same values, and the
        standard error of that (Vehtari, Gelman & Gabry 2017, "Practical Bayesian model evaluation
        using leave-one-out cross-validation", section 5.2)."""
        apart = self.log_densities - other.log_densities
        return float(apart.mean()), float(apart.std(ddof=1) / np.sqrt(len(apart)))


def leave_one_out(fit: Fit, points: Array, values: Array, covariance: Array) -> LeftOut:
    """For each value, `fit` to all others and its prediction of that one. Shapes as in `Fit`.
    Raises ValueError for other shapes or fewer than two values."""
    n = len(values)
    if points.ndim != 2 or len(points) != n or covariance.shape != (n, n) or n < 2:
        raise ValueError(
            "expected points (n, d), n values and a covariance (n, n) with n > 1, found "
            f"{points.shape}, {values.shape} and {covariance.shape}"
        )
    means, variances = np.zeros(n), np.zeros(n)
    for i in range(n):
        rest = np.arange(n) != i
        predict = fit(points[rest], values[rest], covariance[np.ix_(rest, rest)])
        mean, variance = predict(points[[i]], covariance[[i]][:, rest], covariance[[i], [i]])
        means[i], variances[i] = mean[0], variance[0]
    return LeftOut(np.asarray(values, dtype=np.float64), means, np.sqrt(variances))


def held_out(fit: Fit, points: Array, values: Array, covariance: Array, known: Flags) -> LeftOut:
    """The same for one split: fitted to the `known`, shape (n,) of booleans, and predicting the
    others."""
    new = np.logical_not(known)
    predict = fit(points[known], values[known], covariance[np.ix_(known, known)])
    own = np.diag(covariance)[new]
    means, variances = predict(points[new], covariance[np.ix_(new, known)], own)
    return LeftOut(np.asarray(values[new], dtype=np.float64), means, np.sqrt(variances))
