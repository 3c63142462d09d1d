"""Which recorded property of a training predicts the losses: the correlation, over the recipes of a
run, of the losses with the KL divergence from the base model (2509.04259), the distance of the
weights and DES (2410.16006), the accumulated learning rate (2505.07796) and the amount of text
(2510.19546).

Only the order in which a predictor ranks the recipes counts (`mtray.analysis.rank_prediction`).
Trials at several alphas share their training, and count as one unit when recipes are resampled. In
simulations with 8 to 30 recipes, the intervals of the correlations cover the true value in 96 to
100 % of cases if measurement noise is at least a third of the spread between recipes, and in 88 to
94 % without noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mtray.analysis.rank_prediction import (
    centred_interval,
    left_out_errors,
    rank_correlation,
    ranks,
    unit_draws,
)
from mtray.analysis.uncertainty import Array
from mtray.report.abilities import PREFIX
from mtray.report.evidence import Evidence
from mtray.schema import Frozen, TrialRecord

LEAST = 6  # trainings; fewer are too few for any conclusion
QUALITY = "quality."  # prefix of the evaluation's parts, before a direction
KL, DES = "forward_kl", "des"
LABELS = {
    KL: "KL(base || tuned) on the new task",
    "mean_difference": "distance of the weights (MPD)",
    "accumulated_learning_rate": "accumulated learning rate",
    DES: "similarity of the data to the evaluation (DES)",
    "tokens": "tokens trained on",
    "tokens_per_parameter": "tokens per trained parameter",
}


class Predictor(Frozen):
    """One predictor of one measure.

    - `names`: the predictor, and others that rank the recipes in the same or the reverse order.
    - `correlation`: Spearman's, with the difference from the base model; `low`, `high` its 95 %
      interval over recipes and measurement.
    - `error`: root mean square error on left-out recipes, in the measure's unit.
    """

    names: tuple[str, ...]
    correlation: float
    low: float
    high: float
    error: float

    @property
    def label(self) -> str:
        return " or ".join(LABELS[name] for name in self.names)

    @property
    def settled(self) -> bool:
        """Whether its correlation differs from 0 beyond noise."""
        return self.low > 0 or self.high < 0


class Cause(Frozen):
    """What predicts one measure's difference from the base model.

    - `predictors`: ordered by error, ascending.
    - `constant_error`: root mean square error of predicting the mean of the other recipes, in the
      measure's unit.
    - `noise`: standard deviation of the measurement error that recipes do not share; no predictor
      can have a smaller error.
    - `behind`: the next predictor's error minus the best one's, with `behind_low` and `behind_high`
      its 95 % interval; None if there is no next one.
    """

    measure: str
    predictors: tuple[Predictor, ...]
    constant_error: float
    noise: float
    behind: float | None = None
    behind_low: float | None = None
    behind_high: float | None = None

    @property
    def settled(self) -> bool:
        """Whether the best predictor is better than the next beyond noise, as if the two had been
        chosen in advance."""
        return self.behind_low is not None and self.behind_low > 0

    def taken(self, predictor: Predictor) -> float:
        """The share by which a predictor's error is below a constant's; negative if it is above."""
        return 1 - predictor.error / self.constant_error if self.constant_error else 0.0


class Causes(Frozen):
    """The causes of a run's losses over `recipes` from `trainings` trainings (recipes at several
    alphas share one). `causes` is empty if there are too few. `left_out`: predictors that could not
    be used, with the reason."""

    recipes: int
    trainings: int
    causes: tuple[Cause, ...]
    left_out: dict[str, str]


def causes(evidence: Evidence) -> Causes:
    """Causes for the objectives and abilities of a run's evidence; none with fewer than `LEAST`
    trainings."""
    units = np.array([record.training_number for record in evidence.records])
    count = len(np.unique(units))
    if count < LEAST:
        return Causes(recipes=len(units), trainings=count, causes=(), left_out={})
    weights = unit_draws(units, len(evidence.errors))
    left_out: dict[str, str] = {}
    found = []
    for place, name in enumerate(evidence.names):
        known, lacking = _predictors(evidence.records, name)
        left_out |= lacking
        y = evidence.gaps[:, place]
        drawn = y + evidence.errors[:, :, place]
        found.append(_cause(name, known, y, drawn, weights, count))
    return Causes(recipes=len(units), trainings=count, causes=tuple(found), left_out=left_out)


def _predictors(
    records: Sequence[TrialRecord], measure: str
) -> tuple[dict[str, Array], dict[str, str]]:
    """The predictors that all records have and that vary, shape (n,) each, and why others are left
    out."""
    known: dict[str, Array] = {}
    left_out = {}
    for name in LABELS:
        values = [_value(record, name, measure) for record in records]
        missing = sum(value is None for value in values)
        array = np.array([np.nan if value is None else value for value in values])
        if missing:
            left_out[name] = f"not recorded for {missing} of {len(records)} recipes"
        elif np.ptp(array) == 0:
            left_out[name] = "the same in all recipes"
        else:
            known[name] = array
    return known, left_out


def _value(record: TrialRecord, name: str, measure: str) -> float | None:
    if name == DES:
        return _des(record.extra.get("des", {}), measure)
    value = getattr(record.training, name, None)
    return None if value is None else float(value)


def _des(by_part: Mapping[str, float], measure: str) -> float | None:
    """DES to the part of the evaluation that a measure belongs to: an ability's own, for
    `retention` the mean over the abilities, otherwise over the directions."""
    own = by_part.get(measure.removeprefix(PREFIX))
    if own is not None:
        return own
    of_abilities = measure.split(".")[0] == PREFIX.rstrip(".")
    parts = [v for part, v in by_part.items() if part.startswith(QUALITY) != of_abilities]
    return sum(parts) / len(parts) if parts else None


def _cause(
    measure: str, known: Mapping[str, Array], y: Array, drawn: Array, weights: Array, units: int
) -> Cause:
    """The cause of one measure. `y`, shape (n,): measured values. `drawn`, shape (draws, n): `y`
    with measurement error. `weights`, shape (draws, n): bootstrap weights of the recipes, which
    belong to `units` units."""
    shared = drawn - y
    noise = float(np.sqrt(shared.var(axis=1, ddof=1).mean()))
    predictors: list[tuple[Predictor, Array]] = []
    for names in _alike(known):
        x = known[names[0]]
        rho = float(rank_correlation(x, y))
        low, high = centred_interval(rho, rank_correlation(x, drawn, weights), units)
        predictor = Predictor(
            names=names, correlation=rho, low=max(low, -1.0), high=min(high, 1.0),
            error=float(_root_mean_square(left_out_errors(y, x))),
        )  # fmt: skip
        errors = _root_mean_square(left_out_errors(drawn, x), weights)
        predictors.append((predictor, errors))
    predictors.sort(key=lambda p: p[0].error)
    behind: dict[str, float] = {}
    if len(predictors) > 1:
        (best, best_draws), (second, second_draws) = predictors[:2]
        gap = second.error - best.error
        low, high = centred_interval(gap, second_draws - best_draws, units)
        behind = {"behind": gap, "behind_low": low, "behind_high": high}
    return Cause(
        measure=measure, predictors=tuple(p for p, _ in predictors), noise=noise,
        constant_error=float(_root_mean_square(left_out_errors(y))), **behind,
    )  # fmt: skip


def _root_mean_square(errors: Array, weights: Array | None = None) -> Array:
    return np.asarray(np.sqrt(np.average(errors**2, axis=-1, weights=weights)))


def _alike(known: Mapping[str, Array]) -> list[tuple[str, ...]]:
    """Names of predictors, grouped if they rank the recipes in the same or reverse order."""
    found: dict[tuple[float, ...], list[str]] = {}
    for name, values in known.items():
        upwards, downwards = tuple(ranks(values)), tuple(ranks(-values))
        found.setdefault(downwards if downwards in found else upwards, []).append(name)
    return [tuple(names) for names in found.values()]


def cause_lines(found: Causes) -> list[str]:
    """Lines for a terminal: what was examined, then for each measure a sentence or two and a line
    for each predictor."""
    of = f"{found.recipes} trained recipes"
    if found.trainings != found.recipes:
        of += f" ({found.trainings} trainings)"
    if not found.causes:
        return [f"What predicts the losses: {of} are too few to say; {LEAST} trainings are needed."]
    lines = [
        f"What predicts the losses, over {of}. For each predictor: Spearman's rank correlation "
        "with the difference from the base model [95 % interval], and the leave-one-out error of a "
        "linear fit on its ranks, beside that of a constant."
    ]
    for cause in found.causes:
        lines.append(_sentence(cause))
        lines += [f"  {_predictor_text(cause, p)}" for p in cause.predictors]
    lines += [f"Not used: {LABELS[name]}: {why}." for name, why in found.left_out.items()]
    return lines


def _sentence(cause: Cause) -> str:
    errors = f"constant {cause.constant_error:.3g}, measurement alone {cause.noise:.3g}"
    head = f"{cause.measure} (error: {errors}): "
    if not cause.predictors:
        return f"{head}no recorded predictor differs between the recipes."
    best = cause.predictors[0]
    if cause.taken(best) <= 0:
        return f"{head}no recorded predictor is better than a constant."
    said = f"{head}the best predictor is {best.label}"
    if not best.settled:
        return f"{said}, but its correlation is within noise."
    if cause.behind is None:
        return f"{said}."
    interval = f"{cause.behind:.2g} [{cause.behind_low:.2g}, {cause.behind_high:.2g}]"
    beyond = "beyond" if cause.settled else "within"
    return f"{said}; the next one's error is larger by {interval}, {beyond} noise."


def _predictor_text(cause: Cause, predictor: Predictor) -> str:
    interval = f"[{predictor.low:+.2f}, {predictor.high:+.2f}]"
    taken = 100 * cause.taken(predictor)
    side = "below" if taken >= 0 else "above"
    error = f"error {predictor.error:.3g} ({abs(taken):.0f} % {side} a constant's)"
    # avoids -0.00
    return f"{round(predictor.correlation, 2) + 0.0:+.2f} {interval}  {error}  {predictor.label}"
