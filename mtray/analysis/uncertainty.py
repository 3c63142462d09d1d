"""Bootstrap intervals from sufficient statistics: every metric of mtray is a function of sums over
segments.

A `Measurement` holds, for each segment, the numbers whose sum a metric needs (a COMET score and a
1; the n-gram counts of chrF; the four counts of formality accuracy). A bootstrap draw is then a
weighted sum, so a thousand of them are one matrix product, including corpus metrics.

The weights belong to the unit (`mtray.analysis.resampling_units`), not to the measurement: all
measurements of a unit, by any metric, of any model, in any set, use the same weight for it in the
same draw. So differences between two systems are paired (Koehn 2004), and means over sets that
share sentences keep their correlation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import inf, isfinite, sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from mtray.analysis.resampling_units import Keys, key_of
from mtray.errors import EvaluationError, ValueNotFinite
from mtray.schema import Score

Array = npt.NDArray[np.float64]
LEVEL = 0.95
TAILS = (0.025, 0.975)  # quantiles at the ends of its interval
Z95 = NormalDist().inv_cdf((1 + LEVEL) / 2)
KEPT_WEIGHTS = 1 << 21  # largest weight matrix, in numbers, that is cached for the next measurement


@dataclass(frozen=True)
class Measurement:
    """A metric on segments.

    - `stats`, shape (segments, k): statistics that are summed over segments.
    - `value`: maps sums, shape (..., k), to the metric, shape (...).
    - `signature`: metric, version and settings.
    - `clusters`, shape (segments,): keys of the units that are resampled together (a document, a
      source sentence); equal keys of any two measurements are the same unit. None: each segment
      alone, by its index.
    - `bounds`: minimum and maximum of the metric.
    - `proportion`: whether this is a share of segments, each of which counts 0 or 1.
    - `truncated`: number of segments of which the metric read only a part; None: unknown.
    - `divided`: number of segments that were scored in parts, by how they were divided.
    """

    stats: Array
    value: Callable[[Array], Array]
    signature: str
    clusters: Keys | None = None
    bounds: tuple[float, float] = (-inf, inf)
    proportion: bool = False
    truncated: int | None = None
    divided: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.stats.ndim != 2 or not len(self.stats):
            raise EvaluationError(f"{self.signature}: no segments to measure")
        if not np.isfinite(self.stats).all():
            raise ValueNotFinite(f"{self.signature}: a segment's statistic is not finite")

    @property
    def point(self) -> float:
        """The metric's value on all segments. Raises EvaluationError if it is not finite."""
        found = float(self.value(self.stats.sum(axis=0)))
        if not np.isfinite(found):
            raise ValueNotFinite(f"{self.signature}: the value is {found}")
        return found

    @property
    def keys(self) -> Keys:
        """The units of the segments, shape (segments,)."""
        return np.arange(len(self.stats)) if self.clusters is None else self.clusters

    @property
    def n(self) -> int:
        """Number of independent units: clusters, or segments if there are none."""
        return len(self.stats) if self.clusters is None else len(np.unique(self.clusters))

    def by_unit(self) -> tuple[Keys, Array]:
        """Units in ascending order, shape (n,), and statistics summed within them, shape (n, k)."""
        units, index = np.unique(self.keys, return_inverse=True)
        summed = np.zeros((len(units), self.stats.shape[1]))
        np.add.at(summed, index, self.stats)
        return units, summed


def mean_measurement(
    values: npt.ArrayLike,
    signature: str,
    clusters: Keys | None = None,
    bounds: tuple[float, float] = (-inf, inf),
) -> Measurement:
    """A metric that is the mean of its segments' scores, such as COMET."""
    scores = np.asarray(values, dtype=np.float64)
    stats = np.stack([scores, np.ones_like(scores)], axis=1)
    return Measurement(stats, lambda s: s[..., 0] / s[..., 1], signature, clusters, bounds)


def share_measurement(
    values: npt.ArrayLike, signature: str, clusters: Keys | None = None
) -> Measurement:
    """The mean of `values`, shape (segments,), each from 0 to 1: a share if all are 0 or 1."""
    flags = np.asarray(values, dtype=np.float64)
    stats = np.stack([flags, np.ones_like(flags)], axis=1)
    return Measurement(
        stats, lambda s: s[..., 0] / s[..., 1], signature, clusters, (0.0, 1.0),
        proportion=bool(np.isin(flags, (0.0, 1.0)).all()),
    )  # fmt: skip


def unit_weights(units: Keys, draws: int, seed: int) -> Array:
    """The weight of every unit, shape (n,), in each bootstrap draw, shape (draws, n).

    Exponential with mean 1, each unit's determined by (seed, unit) alone: the Bayesian bootstrap
    (Rubin 1981, Annals of Statistics 9:130). Unlike counts of draws with replacement, no weight is
    0, so no draw leaves a metric undefined, and sets that share some of their units can share the
    weights of just those.
    """
    if len(units) * draws > KEPT_WEIGHTS:
        return _weights(units.astype(np.int64).tobytes(), draws, seed)
    return _kept_weights(units.astype(np.int64).tobytes(), draws, seed)


def _weights(units: bytes, draws: int, seed: int) -> Array:
    found = np.frombuffer(units, dtype=np.int64)
    out = np.empty((draws, len(found)))
    for place, unit in enumerate(found.tolist()):
        key = np.array([seed, unit], dtype=np.uint64)
        out[:, place] = np.random.Generator(np.random.Philox(key=key)).standard_exponential(draws)
    return out


_kept_weights = lru_cache(maxsize=32)(_weights)


def small_sample(n: int) -> float:
    """Factor by which draws on `n` units are widened, so that their percentiles have nominal
    coverage: sqrt((n + 1) / (n - 1)) for the variance that the weights lose, and Student's t over
    the normal quantile (Hesterberg 2015, The American Statistician 69:371, section 4.2). 1 for a
    single unit, whose variance cannot be estimated."""
    return 1.0 if n < 2 else sqrt((n + 1) / (n - 1)) * student_t((1 + LEVEL) / 2, n - 1) / Z95


@lru_cache(maxsize=4096)
def student_t(level: float, freedom: float) -> float:
    """The quantile at `level`. Cached, since scipy takes 0.3 ms and every score of every trial
    needs the same one."""
    from scipy.special import stdtrit  # as scipy.stats, whose import takes a second

    return float(stdtrit(freedom, level))


def replicate_values(measurement: Measurement, resamples: int, seed: int) -> Array:
    """The metric on each bootstrap draw, shape (resamples,), widened about its value by
    `small_sample`. Measurements that share units share the weights of these."""
    units, stats = measurement.by_unit()
    found = np.asarray(measurement.value(unit_weights(units, resamples, seed) @ stats))
    point = measurement.point
    return np.asarray(point + small_sample(len(units)) * (found - point))


def interval(values: Array, level: float = LEVEL) -> tuple[float, float]:
    """Percentile interval, ignoring draws on which the metric is undefined."""
    kept = values[np.isfinite(values)]
    if not len(kept):
        raise EvaluationError("no bootstrap resample has a defined value")
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def wilson(share: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a share observed in `n` independent trials (Wilson 1927, JASA 22:209). It is not
    empty at 0 and 1, where all bootstrap draws are equal."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class ScoreDraws:
    """A score and the bootstrap draws behind its interval, shape (resamples,). Draws made with the
    same seed on the same units use the same resamples, so those of two models are paired."""

    score: Score
    draws: Array


def bounded_score(
    point: float, ends: tuple[float, float], n: int, signature: str,
    bounds: tuple[float, float] = (-inf, inf),
) -> Score:  # fmt: skip
    """A score whose interval includes its value and stays within the measure's bounds."""
    least, most = bounds
    return Score(
        value=point, low=min(point, max(ends[0], least)), high=max(point, min(ends[1], most)), n=n,
        signature=signature, least=_finite(least), most=_finite(most),
    )  # fmt: skip


def _finite(bound: float) -> float | None:
    return bound if isfinite(bound) else None


def drawn_score(
    point: float, draws: Array, n: int, signature: str, bounds: tuple[float, float] = (-inf, inf)
) -> ScoreDraws:
    """A score with the percentile interval of its draws."""
    return ScoreDraws(bounded_score(point, interval(draws), n, signature, bounds), draws)


def drawn(measurement: Measurement, resamples: int, seed: int) -> ScoreDraws:
    """Value with its 95 % interval: bootstrap percentiles; Wilson's for a share, with the number of
    independent trials that corresponds to the bootstrap's variance."""
    draws, point = replicate_values(measurement, resamples, seed), measurement.point
    ends = interval(draws)
    if measurement.proportion:
        variance = float(draws.var())
        worth = point * (1 - point) / variance if variance > 0 else float(measurement.n)
        ends = wilson(point, min(worth, float(len(measurement.stats))))
    score = bounded_score(point, ends, measurement.n, measurement.signature, measurement.bounds)
    return ScoreDraws(with_truncated(score, [measurement]), draws)


def with_truncated(score: Score, parts: Sequence[Measurement]) -> Score:
    """The score of these measurements, with the segments that the metric truncated, or scored in
    parts, in all."""
    known = [part.truncated for part in parts if part.truncated is not None]
    if not known:
        return score
    divided: Counter[str] = Counter()
    for part in parts:
        divided.update(part.divided)
    return score.model_copy(update={"truncated": sum(known), "divided": dict(divided)})


def score(measurement: Measurement, resamples: int = 1000, seed: int = 0) -> Score:
    """The same without the draws."""
    return drawn(measurement, resamples, seed).score


def mean_of(measurements: Sequence[Measurement], resamples: int, seed: int) -> ScoreDraws:
    """Mean over measurements; units that they share are resampled together."""
    parts = with_separate_units(measurements)
    draws = [replicate_values(m, resamples, seed) for m in parts]
    point = float(np.mean([m.point for m in parts]))
    n = len(np.unique(np.concatenate([m.keys for m in parts])))
    signature = f"mean:{len(parts)}|{parts[0].signature}"
    least, most = zip(*(m.bounds for m in parts), strict=True)
    bounds = float(np.mean(least)), float(np.mean(most))
    found = drawn_score(point, np.mean(draws, axis=0), n, signature, bounds)
    return replace(found, score=with_truncated(found.score, parts))


def with_separate_units(measurements: Iterable[Measurement]) -> list[Measurement]:
    """The same measurements, but with separate units for those without clusters: indices in
    different sets are not the same unit."""
    return [
        m if m.clusters is not None
        else replace(m, clusters=np.array([key_of(f"\0{i}/{row}") for row in range(len(m.stats))]))
        for i, m in enumerate(measurements)
    ]  # fmt: skip


def difference(a: Measurement, b: Measurement, resamples: int = 1000, seed: int = 0) -> Score:
    """a - b on the same segments, paired."""
    draws = replicate_values(a, resamples, seed) - replicate_values(b, resamples, seed)
    return drawn_score(a.point - b.point, draws, a.n, f"difference|{a.signature}").score
