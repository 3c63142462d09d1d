"""The Gaussian processes that a suggestion is computed from: arrays in, processes out.

With more than `MOST` points they are sparse, on the points near the front and others that are
spread over the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mtray.analysis.gaussian_process import Process
from mtray.analysis.gaussian_process_fit import LONG, LengthScales, fit
from mtray.analysis.pareto import non_dominated
from mtray.analysis.sparse_gaussian_process import SparseProcess, farthest_first, fit_sparse

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
AnyProcess = Process | SparseProcess
MOST = 200  # points up to which a process is fitted to all of them
INDUCING = 200  # points of a sparse process
# Shorter and more spread than `LONG`, which processes have that estimate values for the answer:
# predictions far from every trial stay uncertain, so such recipes are worth trying
SHORT = LengthScales(at_one=25.0, deviation=1.0)


def length_scales(shares: Sequence[bool], guessed: bool) -> list[LengthScales]:
    """The prior on the length scale of each feature. `shares`: whether the feature is the square
    root of a share. `guessed`: whether the user has guessed a parameter.

    A guess already says where to look: with one, exploring more loses. Objectives are close to
    linear in square roots of shares, which differ little between mixtures of many sources.
    """
    return [LONG if share or guessed else SHORT for share in shares]


def fitted(
    points: Array,
    values: Array,
    better: Array,
    scales: Sequence[LengthScales],
    linear: bool = False,
) -> list[AnyProcess]:
    """A process for each column of `values`, shape (n, q), at `points`, shape (n, d).

    - `better`: values in which more is better, shape (n, m): half of the inducing points of sparse
      processes are near their front.
    - `scales`: a prior for each of the d coordinates.
    - `linear`: with a linear kernel. By default without one: it takes an effect that saturates for
      a trend.

    Raises ValueError as `mtray.analysis.gaussian_process_fit.fit` does.
    """
    if len(points) <= MOST:
        return [fit(points, v, linear=linear, scales=scales) for v in values.T]
    chosen = _inducing(points, better)
    return [fit_sparse(points, v, chosen, linear, scales) for v in values.T]


def _inducing(points: Array, better: Array) -> Indices:
    """Indices of the inducing points, shape (INDUCING,): half of them by rank of non-domination in
    `better`, shape (n, m), so near the front, and others far from these and from each other."""
    left, near = np.arange(len(better)), list[int]()
    while len(near) < INDUCING // 2:
        front = non_dominated(better[left])
        near += left[front].tolist()
        left = left[~front]
    return farthest_first(points, np.array(near[: INDUCING // 2]), INDUCING)
