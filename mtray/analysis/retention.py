"""How much of the base model's abilities the tuned model retains.

For one ability, with s the tuned model's score, b the base model's, c that of a trivial output:

    kept = (s - c) / (b - c)

estimated as ((s - c)(b - c) + C) / ((b - c)^2 + V), where V is the variance of b and C the
covariance of s and b over segments, both from the bootstrap (Beale 1962, Industrial Organization
31:27; Tin 1965, JASA 60:294): the quotient itself is biased upwards by (V - C) / (b - c)^2 under no
change. A model that answers as the base model does has exactly 1.

Gains and losses count alike, so that noise about 1 does not read as a loss (capping every ability
at 1 read as .97 under no change). No ability counts for more than `MOST`, so that one large gain
cannot hide the losses of the others. The worst ability is reported in addition to the mean, with an
interval that holds for all abilities simultaneously.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtray.analysis.uncertainty import (
    Array,
    Measurement,
    ScoreDraws,
    bounded_score,
    drawn_score,
    replicate_values,
    with_separate_units,
)
from mtray.errors import EvaluationError

# far above the noise of an ability of a hundred segments, so that the cap does not bias unchanged
# abilities
MOST = 1.5
FORMULA = "(s-c)/(b-c)"
# Minimum distance of the base model from an ability's floor, in standard errors. A stricter
# selection would cause apparent losses under no change: a base value that exceeds three standard
# errors by chance is too high (simulated: a true distance of three standard errors reads .94 with
# two, .91 with three).
MARGIN = 2.0


@dataclass(frozen=True)
class RetainedAbility:
    """One ability of a tuned model and of the base model.

    - `tuned`, `base`: on the same segments.
    - `floor`: the score of a trivial output.
    - `weight`: in the mean over abilities.
    """

    tuned: Measurement
    base: Measurement
    floor: float
    weight: float = 1.0


def too_little(floor: float, base: float, draws: Array) -> str | None:
    """A sentence if the base model's value is not above the floor by `MARGIN` times the standard
    error of its draws, shape (resamples,); otherwise None."""
    error = float(draws.std(ddof=1))
    if base - floor > MARGIN * error:
        return None
    return (
        f"the base model's {base:.4g} is not above the floor {floor:.4g} by {MARGIN:g} standard "
        f"errors of {error:.2g}: too little to tell how much of it is kept"
    )


def kept_share(s: float, b: float, s_draws: Array, b_draws: Array, floor: float) -> ScoreDraws:
    """The retained share of one ability, see the module, with draws of shape (resamples,).

    The draws are those of the quotient's linear part, kept + (ds - kept db) / (b - c): for a base
    model not far above the floor the quotient itself has unbounded draws.
    """
    own, before = s - floor, b - floor
    together = np.cov(s_draws, b_draws)
    kept = (own * before + together[0, 1]) / (before * before + together[1, 1])
    if np.array_equal(s_draws, b_draws) and s == b:
        kept = 1.0
    moved = (s_draws - s) - kept * (b_draws - b)
    draws = np.minimum(MOST, kept + moved / before)
    return drawn_score(min(MOST, float(kept)), draws, 0, FORMULA, (-np.inf, MOST))


def retention(
    abilities: Mapping[str, RetainedAbility], resamples: int = 1000, seed: int = 0
) -> dict[str, ScoreDraws]:
    """Retention of every ability and, as `mean` and `worst`, the weighted mean over them and their
    minimum.

    Intervals are from paired draws: tuned and base model have the same weights for the same units,
    and so have abilities that share units. The interval of `worst` is that of this ability among
    intervals that hold for all abilities simultaneously with 95 %. Raises EvaluationError without
    an ability, or if the two models were not given the same requests.
    """
    if not abilities:
        raise EvaluationError("retention needs at least one ability that the base model has")
    tuned = dict(
        zip(abilities, with_separate_units(k.tuned for k in abilities.values()), strict=True)
    )
    base = dict(
        zip(abilities, with_separate_units(k.base for k in abilities.values()), strict=True)
    )
    found = {}
    for name, kept in abilities.items():
        if not np.array_equal(tuned[name].keys, base[name].keys):
            raise EvaluationError(
                f"{name}: {kept.tuned.n} units tuned, {kept.base.n} base; they must be the same"
            )
        s, b = (replicate_values(m[name], resamples, seed) for m in (tuned, base))
        found[name] = kept_share(tuned[name].point, base[name].point, s, b, kept.floor)
    units = {name: np.unique(tuned[name].keys) for name in abilities}
    whole = len(np.unique(np.concatenate(list(units.values()))))
    weights = [kept.weight for kept in abilities.values()]
    summaries = retention_summaries(list(found.values()), weights, whole, resamples)
    named = {
        name: ScoreDraws(
            share.score.model_copy(
                update={"n": len(units[name]), "signature": share_signature(name, resamples)}
            ),
            share.draws,
        )
        for name, share in found.items()
    }
    return {**named, **summaries}


def retention_summaries(
    shares: Sequence[ScoreDraws], weights: Sequence[float], n: int, resamples: int
) -> dict[str, ScoreDraws]:
    """The weighted `mean` of the shares of all abilities, and the `worst` of them; `n`: number of
    units of all abilities together."""
    points = np.array([share.score.value for share in shares])
    draws, parts = np.stack([share.draws for share in shares]), np.array(weights)
    # divided last, so that the mean of fully retained abilities is exactly 1
    mean = drawn_score(
        float(parts @ points / parts.sum()),
        parts @ draws / parts.sum(),
        n,
        share_signature("mean", resamples),
        (-np.inf, MOST),
    )
    return {"mean": mean, "worst": _worst(points, draws, n, resamples)}


def share_signature(name: str, resamples: int) -> str:
    return f"{FORMULA}|most:{MOST:g}|{name}|bootstrap:{resamples}"


def _worst(points: Array, draws: Array, n: int, resamples: int) -> ScoreDraws:
    """The minimum over the abilities, `points` (abilities,) with `draws` (abilities, resamples).

    Its interval: the largest of all abilities' errors in units of their standard errors is below q
    in 95 % of the draws, so that with +-q standard errors all intervals hold simultaneously (max-t;
    Efron & Tibshirani 1993, chapter 12, and Westfall & Young 1993). The draws are those of the
    minimum, centred on its value.
    """
    errors = draws.std(axis=1)
    moved = (draws - points[:, None]) / np.where(errors > 0, errors, 1.0)[:, None]
    q = float(np.quantile(np.abs(moved).max(axis=0), 0.95))
    place = int(points.argmin())
    ends = points[place] - q * errors[place], points[place] + q * errors[place]
    least = draws.min(axis=0)
    signature = f"{share_signature('worst', resamples)}|simultaneous:{len(points)}"
    score = bounded_score(float(points[place]), ends, n, signature, (-np.inf, MOST))
    return ScoreDraws(score, least - least.mean() + points[place])
