"""What stands in a report of laws, and its words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from mtray.schema import Frozen, Recipe

Kind = Literal["quality", "loss"]
Model = Literal["law", "linear", "constant"]
# of the law beside a constant, by its mean log density
Verdict = Literal["better", "not shown to be better", "no better"]

MEANINGS: dict[Kind, dict[str, str]] = {
    "quality": {
        "E": "gain with endless data, but for the rate's harm",
        "A": "part of it still missing at the reference size",
        "b": "exponent of data size, and of size times rate",
        "D": "harm at the reference rate, no layer frozen",
        "h": "exponent of the learning rate in the harm",
        "f": "a frozen layer leaves exp(-f) of the harm",
    },
    "loss": {
        "K": "loss at the reference, without replay, mono or frozen layers",
        "a": "exponent of data size",
        "c": "exponent of the learning rate",
        "B": "replay p leaves 1 / (1 + B p) of the loss",
        "C": "mono ratio m leaves 1 / (1 + C m) of the loss",
        "f": "a frozen layer leaves exp(-f) of the loss",
    },
}


class Interval(Frozen):
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def text(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


class LawParameter(Interval):
    """One parameter of a law, as it stands in the formula."""

    name: str
    meaning: str


class LawError(Frozen):
    """Of predicting every recipe from the others, measurement error and all.

    - `rmse`: root of the mean squared difference, in the measure's unit.
    - `coverage`: the share of recipes within the 95 % interval.
    - `log_density`: the mean; greater is better.
    """

    model: Model
    rmse: float
    coverage: float
    log_density: float


class CriticalValue(Frozen):
    """The least replay fraction or mono ratio at which no more than `limit` is lost.

    - `value`, `low`, `high`: with its 95 % interval; None: none within the space's range.
    - `recipe`: at which the parameter is varied.
    - `most`: the range's end.
    - `none`, `not_needed`: probabilities that no value of the range is enough, and that the range's
      least is.
    """

    parameter: Literal["replay_fraction", "mono_ratio"]
    limit: float
    recipe: Recipe
    most: float
    value: float | None
    low: float | None
    high: float | None
    none: float
    not_needed: float
    text: str


class MeasureLaw(Frozen):
    """The law of one measure.

    - `form`: in symbols; n and r are in units of `reference_size` and `reference_rate`.
    - `misfit`: standard deviation of what the form misses, in the measure's unit.
    - `error`: median standard error of a recipe's difference to the untouched model.
    - `margin`, `margin_error`: of the law's mean log density over the constant's, left out.
    """

    name: str
    kind: Kind
    form: str
    reference_size: float
    reference_rate: float
    parameters: tuple[LawParameter, ...]
    misfit: float
    error: float
    errors: tuple[LawError, ...]
    margin: float
    margin_error: float
    verdict: Verdict
    critical: tuple[CriticalValue, ...] = ()
    sentences: tuple[str, ...]


class Optimum(Frozen):
    """The recipe of a grid over the space with the greatest utility by the laws.

    - `ranges`: of each parameter that varies, what 95 % of the draws of the laws hold best.
    - `gains`: over the untouched model, by objective; positive is better.
    - `without_law`: objectives that the utility leaves out.
    """

    recipe: Recipe
    ranges: dict[str, Interval]
    gains: dict[str, Interval]
    without_law: tuple[str, ...] = ()
    text: str


class Laws(Frozen):
    """What the finished recipes of a run say in parametric forms.

    - `recipes`: that were fitted.
    - `skipped`: measures without a law, with the reason.
    - `notes`: what the laws do not know.
    """

    recipes: int
    measures: tuple[MeasureLaw, ...]
    optimum: Optimum | None = None
    skipped: dict[str, str] = {}  # noqa: RUF012  (pydantic copies defaults)
    notes: tuple[str, ...] = ()


def form_text(kind: Kind, names: Sequence[str]) -> str:
    """The formula with the terms that it has."""
    if kind == "quality":
        harm = "".join({"D": " - D", "h": " r^h", "f": " exp(-f F)"}.get(n, "") for n in names)
        seen = "(n r)" if "D" in names else "n"
        return f"gain = E{f' - A {seen}^-b' if 'b' in names else ''}{harm}"
    above = {"a": " n^a", "c": " r^c", "f": " exp(-f F)"}
    below = {"B": "(1 + B p)", "C": "(1 + C m)"}
    found = [below[n] for n in names if n in below]
    under = f" / ({' '.join(found)})" if len(found) > 1 else "".join(f" / {x}" for x in found)
    return f"loss = K{''.join(above.get(n, '') for n in names)}{under}"


def loss_sentences(parameters: Sequence[LawParameter]) -> list[str]:
    """The exponents and factors as a person would say them."""
    found = {p.name: p for p in parameters}
    words = {
        "a": ("twice the data: {} times the loss", lambda a: 2**a),
        "c": ("twice the learning rate: {} times the loss", lambda c: 2**c),
        "B": ("10 % replay leaves {} of the loss", lambda b: _left(b, 0.1)),
        "C": ("as much mono as parallel leaves {} of the loss", lambda c: _left(c, 1.0)),
        "f": ("a frozen layer leaves {} of the loss", lambda f: math.exp(-f)),
    }
    return [
        text.format(_mapped(found[n], to).text()) for n, (text, to) in words.items() if n in found
    ]


def _left(strength: float, amount: float) -> float:
    return 1 / (1 + strength * amount) if strength >= 0 else 1 - strength * amount


def _mapped(found: Interval, to: Callable[[float], float]) -> Interval:
    low, high = sorted((to(found.low), to(found.high)))
    return Interval(value=to(found.value), low=low, high=high)


def verdict_of(margin: float, error: float) -> Verdict:
    """Two standard errors above a constant, above it, or not."""
    if margin > 2 * error:
        return "better"
    return "not shown to be better" if margin > 0 else "no better"


def error_sentence(name: str, errors: Sequence[LawError], verdict: Verdict, error: float) -> str:
    by = {e.model: e for e in errors}
    law = by["law"]
    claim = "is not shown to predict" if verdict == "not shown to be better" else "predicts"
    than = "no better" if verdict == "no better" else "better"
    return (
        f"the law {claim} a left-out recipe's {name} {than} than a constant: off by "
        f"{law.rmse:.3g} (constant {by['constant'].rmse:.3g}, linear {by['linear'].rmse:.3g}, "
        f"measurement alone {error:.3g}), {law.coverage:.0%} within its 95 % interval"
    )


def critical_sentence(found: CriticalValue) -> str:
    """In words; `none in range` and `not needed` among them."""
    name = found.parameter.replace("_", " ")
    at = f"at {found.recipe.parallel_size:,} pairs and rate {found.recipe.learning_rate:g}"
    shown = "no value" if found.value is None else f"{found.value:.3g}"
    if found.value == 0:
        shown = "0 (not needed)"
    ends = [
        f"none up to {found.most:g}" if v is None else f"{v:.3g}" for v in (found.low, found.high)
    ]
    whole = f" up to {found.most:g}" if found.value is None else ""
    return (
        f"{name} at which no more than {found.limit:g} is lost, {at}: {shown}{whole} "
        f"[{ends[0]}, {ends[1]}]; P(not needed) {found.not_needed:.2f}, P(none is enough) "
        f"{found.none:.2f}"
    )
