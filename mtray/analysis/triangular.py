"""Lower Cholesky factors of covariances, of which a diagonal one is kept as its diagonal alone:
with thousands of values the rest of it would take most of the time. Arrays in, arrays out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular

Array = npt.NDArray[np.float64]


def diagonal_of(covariance: Array) -> Array | None:
    """The diagonal of a diagonal matrix of shape (n, n), shape (n,); None for any other."""
    diagonal = np.diag(covariance)
    only = np.count_nonzero(covariance) == np.count_nonzero(diagonal)
    return diagonal.copy() if only else None


def factored(covariance: Array, added: float) -> Array:
    """The factor of a covariance of shape (n, n) plus `added` on its diagonal, shape (n, n), or
    (n,) if it is diagonal. Raises LinAlgError if it is not positive definite."""
    diagonal = diagonal_of(covariance)
    if diagonal is None:
        return np.asarray(cholesky(covariance + added * np.eye(len(covariance)), lower=True))
    if (diagonal + added <= 0).any():
        raise np.linalg.LinAlgError("a variance is not above 0")
    return np.asarray(np.sqrt(diagonal + added))


def solved(factor: Array, right: Array) -> Array:
    """factor^-1 `right`, of shape (n, k)."""
    if factor.ndim == 1:
        return np.asarray(right / factor[:, None])
    return np.asarray(solve_triangular(factor, right, lower=True))


def turned(factor: Array, right: Array) -> Array:
    """(factor factor^T)^-1 `right`, of shape (n, k)."""
    if factor.ndim == 1:
        return np.asarray(right / np.square(factor)[:, None])
    return np.asarray(solve_triangular(factor, solved(factor, right), lower=True, trans=1))


def inverse_with(factor: Array, columns: Array) -> tuple[Array, Array]:
    """The diagonal, shape (n,), of (factor factor^T + columns columns^T)^-1, and this inverse as
    what it does to a vector: `middle` of shape (n, p), with inverse = (factor factor^T)^-1 - middle
    middle^T. `columns` has the shape (n, p), p far below n (Woodbury's identity)."""
    inner = np.eye(columns.shape[1]) + columns.T @ turned(factor, columns)
    middle = turned(factor, columns) @ np.linalg.inv(np.linalg.cholesky(inner)).T
    own = turned(factor, np.eye(len(factor))).diagonal() if factor.ndim > 1 else factor**-2.0
    return own - np.square(middle).sum(axis=1), middle
