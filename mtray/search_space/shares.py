"""Shares: weights of the sources of one kind, or shares of directions, which are searched together
on a simplex.

Each of the k shares of a group has a coordinate u in [0, 1). The shares are x_i / sum(x) of what is
left for them, with x_i = -log(1 - u_i). Uniform coordinates give independent exponential variables,
so the shares are uniform on the simplex, as of Dirichlet(1, ..., 1) (Devroye 1986, "Non-Uniform
Random Variate Generation", chapter XI.4). In contrast to breaking a stick into k - 1 parts, all
shares are treated alike, so their order does not matter. In return there is one
coordinate too many: points whose x differ by a factor are the same. A model therefore gets the
shares themselves, and stored points the coordinates whose x sum to k, their expected value.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, FloatDistribution

Array = npt.NDArray[np.float64]
NEAREST = 1e-12  # of a coordinate to 1, where x would be infinite


class ShareDistribution(FloatDistribution):
    """One of the shares of a group.

    - `group`: the kind of the sources, or `directions`.
    - `whole`: what the shares of the group sum to.
    - `count`: how many there are.
    """

    def __init__(self, group: str, whole: float, count: int) -> None:
        super().__init__(0.0, whole)
        self.group, self.whole, self.count = group, whole, count


def plain(distribution: BaseDistribution) -> BaseDistribution:
    """A distribution of a class that Optuna can store."""
    if not isinstance(distribution, ShareDistribution):
        return distribution
    return FloatDistribution(distribution.low, distribution.high)


def groups_of(distributions: Mapping[str, BaseDistribution]) -> list[list[str]]:
    """The names of the shares of each group."""
    found: dict[str, list[str]] = {}
    for name, d in distributions.items():
        if isinstance(d, ShareDistribution):
            found.setdefault(d.group, []).append(name)
    return list(found.values())


def amount_at(d: ShareDistribution, u: float) -> float:
    """The amount at coordinate `u`; amounts of a group are its shares up to a common factor."""
    return float(-np.log1p(-min(u, 1 - NEAREST)) / d.count * d.whole)


def coordinate_of(d: ShareDistribution, share: float) -> float:
    """The inverse of `amount_at`."""
    return float(-np.expm1(-share / d.whole * d.count))


def shares_at(units: Array) -> Array:
    """The shares of a group as parts of 1, from its coordinates, shape (..., k); all alike where
    every coordinate is 0."""
    amounts = -np.log1p(-np.minimum(units, 1 - NEAREST))
    total = amounts.sum(axis=-1, keepdims=True)
    alike = np.full_like(amounts, 1 / units.shape[-1])
    return np.asarray(np.divide(amounts, total, out=alike, where=total > 0))


def units_of(shares: Array) -> Array:
    """The stored coordinates of the shares of a group, shape (..., k)."""
    return np.asarray(-np.expm1(-shares * shares.shape[-1]))
