"""The response surface of a sweep: several measures as functions over a space, from few noisy
trials.

An independent mixture of Gaussian processes for each measure, with the trials' known errors. Arrays
in, arrays out. Points are features, shape (k, f), of about [0, 1]; values are differences to the
base model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mtray.analysis.gaussian_process import Process
from mtray.analysis.gaussian_process_mixture import ProcessMixture, fit_mixture
from mtray.analysis.uncertainty import TAILS, Z95

Array = npt.NDArray[np.float64]
FEWEST = 5  # with fewer points a surface tells no more than a mean


@dataclass(frozen=True)
class Surface:
    """A fitted process for each of m measures."""

    processes: tuple[ProcessMixture, ...]

    def predict(self, at: Array) -> tuple[Array, Array]:
        """Means and standard deviations of the true values at points of shape (k, f), each of shape
        (k, m)."""
        found = [process.predict(at) for process in self.processes]
        mean, deviation = (np.column_stack(part) for part in zip(*found, strict=True))
        return mean, deviation

    def means(self, at: Array) -> Array:
        """The means of `predict`, without the work for the deviations, shape (k, m)."""
        return np.column_stack([process.means(at) for process in self.processes])

    def draws(self, at: Array, count: int, seed: int = 0) -> Array:
        """Joint draws of the true values at points of shape (k, f), shape (count, k, m)."""
        rng = np.random.default_rng(seed)
        found = [process.draws(at, count, rng) for process in self.processes]
        return np.stack(found, axis=2)


def fit_surface(points: Array, values: Array, errors: Sequence[Array]) -> Surface:
    """The surface of `values`, shape (n, m), at `points`, shape (n, f); `errors` holds for each
    measure the covariance of its values' errors, shape (n, n). Raises ValueError for other shapes
    or numbers that are not finite."""
    columns = zip(values.T, errors, strict=True)
    return Surface(tuple(fit_mixture(points, column, known) for column, known in columns))


@dataclass(frozen=True)
class Curve:
    """A measure along one parameter.

    - `mean`, and `low` and `high`, its 95 % band: each of shape (g,).
    - `rise`, `rise_low`, `rise_high`: change from the first value to the last, and its 95 %
      interval, which is narrower than the bands at the ends suggest, as these share errors.
    """

    mean: Array
    low: Array
    high: Array
    rise: float
    rise_low: float
    rise_high: float


def curve(process: Process | ProcessMixture, points: Array) -> Curve:
    """The mean of the measure over backgrounds along a parameter (partial dependence: Friedman
    2001, Annals of Statistics 29:1189). `points`, shape (g, b, f): for each of g values of the
    parameter, b points that differ in the other parameters."""
    g, b, _ = points.shape
    mean, covariance = process.joint(points.reshape(g * b, -1))
    # the mean of jointly normal values is normal; that of mixtures is nearly so
    middle = mean.reshape(g, b).mean(axis=1)
    between = covariance.reshape(g, b, g, b).mean(axis=(1, 3))
    half = Z95 * np.sqrt(np.maximum(np.diagonal(between), 0.0))
    rise, ends = float(middle[-1] - middle[0]), between[[0, -1]][:, [0, -1]]
    beside = Z95 * float(max(0.0, ends[0, 0] + ends[1, 1] - 2 * ends[0, 1])) ** 0.5
    return Curve(middle, middle - half, middle + half, rise, rise - beside, rise + beside)


@dataclass(frozen=True)
class Importance:
    """Share of a measure's variance over the space that involves a parameter, alone or with
    others (0: none; shares add up to 1 or more): the mean over the process's draws, and the
    95 % interval."""

    share: float
    low: float
    high: float


def importances(
    process: Process | ProcessMixture,
    one: Array,
    mixed: Sequence[Array],
    count: int = 200,
    seed: int = 0,
) -> list[Importance]:
    """Total Sobol' indices, by Jansen's estimator: E[(f(A) - f(A_j))^2] / (2 Var f) (Saltelli et
    al. 2010, Comput. Phys. Commun. 181:259, table 2). `one`, shape (n, f), are points spread over
    the space, `mixed[j]` the same with parameter j taken from other such points."""
    n = len(one)
    values = process.draws(np.vstack([one, *mixed]), count, np.random.default_rng(seed))
    first, found = values[:, :n], []
    variance = first.var(axis=1)
    for j in range(len(mixed)):
        moved = values[:, (j + 1) * n : (j + 2) * n]
        share = np.minimum(1.0, ((first - moved) ** 2).mean(axis=1) / (2 * variance))
        low, high = np.quantile(share, TAILS)
        found.append(Importance(float(share.mean()), float(low), float(high)))
    return found
