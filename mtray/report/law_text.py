"""The contents of a report of laws, and its text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from mtray.report.leave_one_out import LeftOutError
from mtray.schema import Frozen, Recipe

Kind = Literal["quality", "loss"]
# the law compared with a constant, by mean log density
Verdict = Literal["better", "not shown to be better", "no better"]

MEANINGS: dict[Kind, dict[str, str]] = {
    "quality": {
        "E": "gain with unlimited data, before the D term",
        "A": "gain still missing where n = r = 1",
        "b": "exponent of the data term",
        "D": "quality lost to the learning rate where r = 1, no layer frozen",
        "h": "exponent of the learning rate in that loss",
        "f": "each frozen layer multiplies that loss by exp(-f)",
    },
    "loss": {
        "K": "loss where n = r = 1, without replay, mono or frozen layers",
        "a": "exponent of data size",
        "c": "exponent of the learning rate",
        "B": "replay fraction p divides the loss by 1 + B p",
        "C": "mono ratio m divides the loss by 1 + C m",
        "f": "each frozen layer multiplies the loss by exp(-f)",
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
    """One parameter of a law, as it appears in the formula."""

    name: str
    meaning: str


class CriticalValue(Frozen):
    """The least replay fraction or mono ratio at which the loss is at most `limit`.

    - `value`, `low`, `high`: with its 95 % interval; None: none within the space's range.
    - `recipe`: in which the parameter is varied.
    - `most`: the upper end of the range.
    - `none`, `not_needed`: probabilities that no value of the range is enough, and that the lowest
      one is.
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
    - `misfit`: standard deviation of the deviations from the form, in the measure's unit.
    - `error`: median standard error of a recipe's difference from the base model.
    - `margin`, `margin_error`: leave-one-out mean log density of the law minus the constant's, and
      its standard error.
    """

    name: str
    kind: Kind
    form: str
    reference_size: float
    reference_rate: float
    parameters: tuple[LawParameter, ...]
    misfit: float
    error: float
    errors: tuple[LeftOutError, ...]
    margin: float
    margin_error: float
    verdict: Verdict
    critical: tuple[CriticalValue, ...] = ()
    sentences: tuple[str, ...]


class Optimum(Frozen):
    """The recipe of a grid over the space with the greatest utility by the laws.

    - `ranges`: 95 % interval, over the draws of the laws, of each varying parameter's best value.
    - `gains`: over the base model, by objective; positive is better.
    - `without_law`: objectives without a law, which the utility leaves out.
    """

    recipe: Recipe
    ranges: dict[str, Interval]
    gains: dict[str, Interval]
    without_law: tuple[str, ...] = ()
    text: str


class Laws(Frozen):
    """The parametric laws of a run's finished recipes.

    - `recipes`: how many were fitted.
    - `skipped`: measures without a law, with the reason.
    - `notes`: what the laws leave out.
    """

    recipes: int
    measures: tuple[MeasureLaw, ...]
    optimum: Optimum | None = None
    skipped: dict[str, str] = {}  # noqa: RUF012  (pydantic copies defaults)
    notes: tuple[str, ...] = ()


def form_text(kind: Kind, names: Sequence[str]) -> str:
    """The formula with the terms of this kind of law."""
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
    """The exponents and factors in words."""
    found = {p.name: p for p in parameters}
    words = {
        "a": ("doubling the data multiplies the loss by {}", lambda a: 2**a),
        "c": ("doubling the learning rate multiplies the loss by {}", lambda c: 2**c),
        "B": ("10 % replay multiplies the loss by {}", lambda b: _left(b, 0.1)),
        "C": ("a mono ratio of 1 multiplies the loss by {}", lambda c: _left(c, 1.0)),
        "f": ("each frozen layer multiplies the loss by {}", lambda f: math.exp(-f)),
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
    """The exponents and factors in words."""
    if margin > 2 * error:
        return "better"
    return "not shown to be better" if margin > 0 else "no better"


def error_sentence(
    name: str, errors: Sequence[LeftOutError], verdict: Verdict, error: float
) -> str:
    by = {e.model: e for e in errors}
    law = by["law"]
    claim = "is not shown to predict" if verdict == "not shown to be better" else "predicts"
    than = "no better" if verdict == "no better" else "better"
    return (
        f"the law {claim} {name} of left-out recipes {than} than a constant: error "
        f"{law.error:.3g} (constant {by['constant'].error:.3g}, linear {by['linear'].error:.3g}, "
        f"measurement alone {error:.3g}), {law.coverage:.0%} within the 95 % interval"
    )


def critical_sentence(found: CriticalValue) -> str:
    """The critical value in words, including `no value up to ...` and `not needed`."""
    name = found.parameter.replace("_", " ")
    size, rate = found.recipe.parallel_size, found.recipe.learning_rate
    at = f"parallel size {size:,} and learning rate {rate:g}"
    shown = "no value" if found.value is None else f"{found.value:.3g}"
    if found.value == 0:
        shown = "0 (not needed)"
    ends = [
        f"none up to {found.most:g}" if v is None else f"{v:.3g}" for v in (found.low, found.high)
    ]
    whole = f" up to {found.most:g}" if found.value is None else ""
    return (
        f"least {name} that keeps the loss at {found.limit:g} or below, with {at}: {shown}{whole} "
        f"[{ends[0]}, {ends[1]}]; P(not needed) {found.not_needed:.2f}, P(no value is enough) "
        f"{found.none:.2f}"
    )
