"""A Gaussian process for thousands of noisy values, through the process at some *inducing* points:
arrays in, arrays out.

The posterior of Titsias 2009, "Variational Learning of Inducing Variables in Sparse Gaussian
Processes", equation 6: all values count, and its cost grows with n m^2 instead of n^3 for m
inducing points. Hyperparameters are those fitted to the values at the inducing points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular

from mtray.analysis.gaussian_process import MIDDLE, Process, distances, linear_kernel, matern
from mtray.analysis.gaussian_process_fit import LengthScales, fit

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
JITTER = 1e-6  # relative to the signal: inducing points lie close together on a front


@dataclass(frozen=True)
class SparseProcess:
    """A fitted process.

    - `inducing`: inducing points, shape (m, d).
    - `points`, `values`: all values and where they were measured, shapes (n, d) and (n,).
    - `process`: the process fitted to the values at the inducing points, for its hyperparameters.
    """

    inducing: Array
    points: Array
    values: Array
    process: Process

    def predict(self, at: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the value without noise at points of shape (k, d), each of
        shape (k,), in the unit of the values."""
        p = self.process
        own = p.signal + p.slope * ((at - MIDDLE) ** 2).sum(axis=1)
        upper, inner, weights = self._factors
        cross = solve_triangular(upper, self._kernel(self.inducing, at), lower=True)
        seen = solve_triangular(inner, cross, lower=True)
        variance = own - (cross**2).sum(axis=0) + (seen**2).sum(axis=0)
        deviation = np.sqrt(np.maximum(variance, 1e-12 * p.signal))
        return p.shift + p.unit * (weights @ seen), p.unit * deviation

    def with_points(self, points: Array, values: Array) -> SparseProcess:
        """The process conditioned on further values, with the same hyperparameters and inducing
        points."""
        return replace(
            self,
            points=np.vstack([self.points, points]),
            values=np.concatenate([self.values, values]),
        )

    @cached_property
    def _factors(self) -> tuple[Array, Array, Array]:
        """The Cholesky factor of the inducing points' kernel, that of the scaled precision of the
        inducing values, and the weights of the mean."""
        p = self.process
        noise = max(p.noise, JITTER)
        inner = self._kernel(self.inducing, self.inducing)
        upper = cholesky(inner + JITTER * p.signal * np.eye(len(inner)), lower=True)
        seen = solve_triangular(upper, self._kernel(self.inducing, self.points), lower=True)
        seen = seen / np.sqrt(noise)
        precision = cholesky(np.eye(len(inner)) + seen @ seen.T, lower=True)
        scaled = (self.values - p.shift) / p.unit / np.sqrt(noise)
        return upper, precision, solve_triangular(precision, seen @ scaled, lower=True)

    def _kernel(self, a: Array, b: Array) -> Array:
        p = self.process
        curved = p.signal * matern(distances(a, b, p.scales))
        return np.asarray(curved + p.slope * linear_kernel(a, b))


def fit_sparse(
    points: Array, values: Array, inducing: Indices, linear: bool,
    scales: Sequence[LengthScales] | None = None,
) -> SparseProcess:  # fmt: skip
    """The process for `values`, shape (n,), at `points`, shape (n, d). `inducing`: indices of the
    points to use as inducing ones. `linear` and `scales` as for `fit`."""
    at = points[inducing]
    fitted = fit(at, values[inducing], linear=linear, scales=scales)
    return SparseProcess(at, points, values, fitted)


def farthest_first(points: Array, first: Indices, count: int) -> Indices:
    """Indices of `count` of the points, shape (n, d): `first`, then each time the point that is
    farthest from all before it (Gonzalez 1985)."""
    chosen = list(first[:count])
    if not chosen:
        chosen = [0]
    away = np.min([((points - points[i]) ** 2).sum(axis=1) for i in chosen], axis=0)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(np.argmax(away)))
        away = np.minimum(away, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return np.array(chosen, dtype=np.int64)
