"""Intervals by bootstrap, from sufficient statistics: every metric of mtray is a function of sums
over segments.

A `Measurement` keeps, for each segment, the numbers whose sum a metric needs (a COMET score and a
1; the n-gram counts of chrF; the four counts of formality accuracy). A bootstrap resample is then a
weighted sum, so a thousand of them are one matrix product, corpus metrics included, and a
difference of two systems is paired by giving both the same weights (Koehn 2004).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mtray.errors import EvaluationError, ValueNotFinite
from mtray.schema import Score

Array = npt.NDArray[np.float64]
LEVEL = 0.95


@dataclass(frozen=True)
class Measurement:
    """Statistics of shape (segments, k) and the metric that takes their sums, shape (..., k), to
    values, shape (...).

    `clusters`, shape (segments,), names what is resampled together (a document, a source sentence);
    None: each segment alone.
    """

    stats: Array
    value: Callable[[Array], Array]
    signature: str
    clusters: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.stats.ndim != 2 or not len(self.stats):
            raise EvaluationError(f"{self.signature}: no segments to measure")
        if not np.isfinite(self.stats).all():
            raise ValueNotFinite(f"{self.signature}: a segment's statistic is not finite")

    @property
    def point(self) -> float:
        """The metric's value on all segments; EvaluationError when it is not finite."""
        found = float(self.value(self.stats.sum(axis=0)))
        if not np.isfinite(found):
            raise ValueNotFinite(f"{self.signature}: the value is {found}")
        return found

    @property
    def n(self) -> int:
        """Number of independent units: clusters, or segments where there are none."""
        return len(self.stats) if self.clusters is None else len(np.unique(self.clusters))

    def by_cluster(self) -> Array:
        """Statistics summed within clusters, shape (n, k)."""
        if self.clusters is None:
            return self.stats
        _, index = np.unique(self.clusters, return_inverse=True)
        summed = np.zeros((int(index.max()) + 1, self.stats.shape[1]))
        np.add.at(summed, index, self.stats)
        return summed


def mean_measurement(
    values: npt.ArrayLike, signature: str, clusters: npt.NDArray[np.int64] | None = None
) -> Measurement:
    """A metric that is the mean of its segments' scores, such as COMET."""
    scores = np.asarray(values, dtype=np.float64)
    stats = np.stack([scores, np.ones_like(scores)], axis=1)
    return Measurement(stats, lambda s: s[..., 0] / s[..., 1], signature, clusters)


def resample_weights(n: int, resamples: int, seed: int) -> Array:
    """How often each of `n` units is drawn in each bootstrap resample, shape (resamples, n)."""
    return (
        np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)
    )


def replicate_values(measurement: Measurement, resamples: int, seed: int) -> Array:
    """The metric on each bootstrap resample, shape (resamples,). The same n and seed draw the same
    units."""
    stats = measurement.by_cluster()
    return np.asarray(measurement.value(resample_weights(len(stats), resamples, seed) @ stats))


def interval(values: Array, level: float = LEVEL) -> tuple[float, float]:
    """Percentile interval, ignoring resamples on which the metric is undefined (no accuracy without
    a labelled output)."""
    kept = values[np.isfinite(values)]
    if not len(kept):
        raise EvaluationError("no bootstrap resample has a defined value")
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Kept:
    """One ability of a tuned model beside the base model's, on the same segments, with the score of
    a trivial output."""

    tuned: Measurement
    base: Measurement
    floor: float
    weight: float = 1.0


def retained_share(
    tuned: Array | np.floating[Any], base: Array | np.floating[Any], floor: float
) -> Array:
    """min(1, (s - c) / (b - c)): 1 is all that the base model can, 0 the floor; below the floor is
    negative."""
    return np.minimum(1.0, (tuned - floor) / (base - floor))


@dataclass(frozen=True)
class Drawn:
    """A score and the bootstrap draws behind its interval, shape (resamples,). Draws made with the
    same seed on the same segments are of the same resamples, so those of two models are paired."""

    score: Score
    draws: Array


def drawn_score(point: float, draws: Array, n: int, signature: str) -> Drawn:
    """A score with the percentile interval of its draws."""
    low, high = interval(draws)
    value = Score(value=point, low=min(low, point), high=max(high, point), n=n, signature=signature)
    return Drawn(value, draws)


def drawn(measurement: Measurement, resamples: int, seed: int) -> Drawn:
    """Value with its 95 % percentile-bootstrap interval."""
    draws = replicate_values(measurement, resamples, seed)
    return drawn_score(measurement.point, draws, measurement.n, measurement.signature)


def score(measurement: Measurement, resamples: int = 1000, seed: int = 0) -> Score:
    """That without the draws."""
    return drawn(measurement, resamples, seed).score


def mean_of(measurements: Sequence[Measurement], resamples: int, seed: int) -> Drawn:
    """Mean over measurements on separate segments; each draws its own resamples."""
    draws = [replicate_values(m, resamples, seed + i) for i, m in enumerate(measurements)]
    point = float(np.mean([m.point for m in measurements]))
    n = sum(m.n for m in measurements)
    signature = f"mean:{len(measurements)}|{measurements[0].signature}"
    return drawn_score(point, np.mean(draws, axis=0), n, signature)


def retention(
    abilities: Mapping[str, Kept], resamples: int = 1000, seed: int = 0
) -> dict[str, Drawn]:
    """Retention of every ability and, as `mean` and `worst`, the weighted mean over them and the
    least of them.

    Intervals are of paired resamples: tuned and base model are scored on the same draws.
    """
    if not abilities:
        raise EvaluationError("retention needs at least one ability that the base model has")
    points, draws = {}, {}
    for index, (name, kept) in enumerate(abilities.items()):
        if kept.tuned.n != kept.base.n:
            raise EvaluationError(
                f"{name}: {kept.tuned.n} units tuned, {kept.base.n} base; they must be the same"
            )
        base_draws = replicate_values(kept.base, resamples, seed + index)
        tuned_draws = replicate_values(kept.tuned, resamples, seed + index)
        at_point = np.array([kept.tuned.point]), np.array([kept.base.point])
        points[name] = float(retained_share(*at_point, kept.floor)[0])
        draws[name] = retained_share(tuned_draws, base_draws, kept.floor)
    weights = np.array([kept.weight for kept in abilities.values()])
    all_points, all_draws = np.array(list(points.values())), np.stack(list(draws.values()))
    # divided last, so that abilities that are all kept whole have a mean of exactly 1
    points["mean"] = float(weights @ all_points / weights.sum())
    draws["mean"] = weights @ all_draws / weights.sum()
    points["worst"], draws["worst"] = float(all_points.min()), all_draws.min(axis=0)
    whole = sum(kept.tuned.n for kept in abilities.values())
    return {
        name: drawn_score(
            point,
            draws[name],
            abilities[name].tuned.n if name in abilities else whole,
            f"min(1,(s-c)/(b-c))|{name}|bootstrap:{resamples}",
        )
        for name, point in points.items()
    }


def difference(a: Measurement, b: Measurement, resamples: int = 1000, seed: int = 0) -> Score:
    """a - b on the same segments, paired."""
    draws = replicate_values(a, resamples, seed) - replicate_values(b, resamples, seed)
    low, high = interval(draws)
    point = a.point - b.point
    return Score(
        value=point, low=min(low, point), high=max(high, point), n=a.n,
        signature=f"difference|{a.signature}",
    )  # fmt: skip
