"""Standard normal draws that many measures of one run use: made once, since with thousands of
recipes making them takes longer than what is computed from them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
KEPT = 1 << 23  # most numbers of a set of draws that is kept for the next measure
SETS = 4
AT_ONCE = 64  # draws


def _drawn(points: int, draws: int, seed: int, freedom: float | None) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    scale = np.ones(draws) if freedom is None else freedom / rng.chisquare(freedom, draws)
    found = np.empty((points, draws))
    for start in range(0, draws, AT_ONCE):  # what lies in the cache is transposed in no time
        own = found[:, start : start + AT_ONCE]
        own[:] = rng.standard_normal((own.shape[1], points)).T
    scale.flags.writeable = found.flags.writeable = False
    return scale, found


_kept: Callable[[int, int, int, float | None], tuple[Array, Array]] = lru_cache(SETS)(_drawn)


def standard_draws(
    points: int, draws: int, seed: int, freedom: float | None = None
) -> tuple[Array, Array]:
    """Draws of a variance from a scaled inverse chi squared distribution with `freedom` degrees of
    freedom and centre 1, shape (draws,), and of independent standard normals, shape (points,
    draws); read-only. `freedom` None: the variance is 1."""
    make = _kept if points * draws <= KEPT else _drawn
    return make(points, draws, seed, freedom)
