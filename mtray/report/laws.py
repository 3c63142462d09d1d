"""Parametric laws of a run's finished recipes, for explanation: exponents, critical ratios, and how
well the laws predict recipes that they were not fitted to (`mtray.analysis.laws`, docs/laws.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from mtray.analysis.critical_values import CriticalRatio, best, critical
from mtray.analysis.decision import worth
from mtray.analysis.laws import (
    COLUMNS,
    MONO,
    RATE,
    REPLAY,
    Law,
    law,
    loss_shape,
    quality_shape,
    scaled,
)
from mtray.analysis.leave_one_out import Fit, leave_one_out
from mtray.analysis.regression import constant_fit, linear_fit
from mtray.analysis.shared_errors import own_errors
from mtray.analysis.uncertainty import TAILS
from mtray.report.evidence import Evidence
from mtray.report.law_text import (
    MEANINGS,
    CriticalValue,
    Interval,
    Kind,
    LawParameter,
    Laws,
    MeasureLaw,
    Optimum,
    critical_sentence,
    error_sentence,
    form_text,
    loss_sentences,
    verdict_of,
)
from mtray.report.leave_one_out import LeftOutError, Model
from mtray.schema import Recipe, Study, is_cost
from mtray.search_space.parameters import Choices, Value, values_of
from mtray.search_space.space import Space

Array = npt.NDArray[np.float64]
Utility = Callable[[Array], Array]
LEAST_RECIPES = 8  # with fewer, the priors dominate
LIMIT = 0.05  # of retention: the loss that a critical ratio allows
SYMBOLS = (
    "n: parallel examples, r: learning rate, p: replay fraction, m: mono ratio, F: frozen layers."
)
LEVELS = (13, 13, 3, 3, 7)  # of the grid that the optimum is searched on, by column


@dataclass(frozen=True)
class FittedLaw:
    """One measure's law; values have the sign with which higher is better."""

    name: str
    kind: Kind
    law: Law
    values: Array
    covariance: Array


@dataclass(frozen=True)
class LawSettings:
    """Settings of a report of laws.

    - `measures`: which ones; None: all that the evidence has.
    - `learning_rate`: at which critical ratios are computed; None: the space's guess, or the
      geometric mean over the recipes.
    - `limit`: the loss that a critical ratio allows.
    - `utility`: from gains over the base model (..., objectives), higher is better, to (...); None:
      their sum in units of their standard deviations over the recipes.
    """

    measures: Sequence[str] | None = None
    learning_rate: float | None = None
    limit: float = LIMIT
    utility: Utility | None = None


ALL = LawSettings()


def laws(evidence: Evidence, study: Study, space: Space, asked: LawSettings = ALL) -> Laws:
    """Laws of every measure of the evidence except costs; critical ratios at the space's largest
    size."""
    rows, points = points_of([record.recipe for record in evidence.records])
    skipped = {name: "it is a cost" for name in evidence.names if is_cost(name)}
    notes = _notes(space, len(evidence.records) - len(rows))
    names = [n for n in asked.measures or evidence.names if n not in skipped]
    if len(rows) < LEAST_RECIPES:
        skipped |= {name: f"{len(rows)} recipes; it needs {LEAST_RECIPES}" for name in names}
        return Laws(recipes=len(rows), measures=(), skipped=skipped, notes=notes)
    fitted = [_fitted(evidence, study, name, rows, points) for name in names]
    return Laws(
        recipes=len(rows),
        measures=tuple(_measure(f, points, space, asked) for f in fitted),
        optimum=_optimum(fitted, study, space, asked.utility),
        skipped=skipped,
        notes=notes,
    )


def points_of(recipes: Sequence[Recipe]) -> tuple[list[int], Array]:
    """Indices of the recipes that train anything, and these as points (n, 5) of `COLUMNS`. Weights
    reverted to a share alpha of their update count as trained at alpha times the learning rate."""
    rates = [(r.learning_rate or 0.0) * r.reversion_alpha for r in recipes]
    rows = [i for i, r in enumerate(recipes) if r.parallel_size and rates[i]]
    found = [
        [recipes[i].parallel_size, rates[i], *(getattr(recipes[i], n) for n in COLUMNS[2:])]
        for i in rows
    ]
    return rows, np.array(found, dtype=np.float64).reshape(len(rows), len(COLUMNS))


def _notes(space: Space, untouched: int) -> tuple[str, ...]:
    unknown = [name for name in space.parameters if name not in (*COLUMNS, "reversion_alpha")]
    notes = []
    if unknown:
        notes.append(f"the laws ignore {', '.join(unknown)}: recipes are fitted together")
    if untouched:
        notes.append(f"{untouched} recipes that train nothing are left out")
    return tuple(notes)


def _fitted(
    evidence: Evidence, study: Study, name: str, rows: list[int], points: Array
) -> FittedLaw:  # fmt: skip
    sign = -1.0 if study.objectives.get(name) == "min" else 1.0
    place = evidence.names.index(name)
    kind: Kind = "loss" if name.split(".")[0] == "retention" else "quality"
    shape = loss_shape if kind == "loss" else quality_shape
    values, errors = sign * evidence.gaps[rows, place], sign * evidence.errors[:, rows, place]
    covariance = evidence.covariance(name)[np.ix_(rows, rows)]
    return FittedLaw(name, kind, law(shape, points, values, errors, place), values, covariance)


def _measure(f: FittedLaw, points: Array, space: Space, asked: LawSettings) -> MeasureLaw:
    fits: dict[Model, tuple[Fit, Array]] = {
        "law": (f.law.refit(), points),
        "linear": (lambda p, v, c: linear_fit(p, v, c).predict, scaled(points)),
        "constant": (lambda p, v, c: constant_fit(p, v, c).predict, points),
    }
    own = own_errors(f.covariance)  # all are measured, and predicted, on the same segments
    left = {m: leave_one_out(fit, p, f.values, own) for m, (fit, p) in fits.items()}
    errors = tuple(LeftOutError.of(model, found) for model, found in left.items())
    margin, margin_error = left["law"].margin(left["constant"])
    verdict, error = (
        verdict_of(margin, margin_error),
        float(np.median(np.diag(f.covariance)) ** 0.5),
    )
    parameters = _parameters(f)
    found = critical_values(f.law, points, space, asked) if f.kind == "loss" else ()
    words = [error_sentence(f.name, errors, verdict, error)]
    if f.kind == "loss":
        words += [*loss_sentences(parameters), *(c.text for c in found)]
    size, rate = f.law.shape.reference
    return MeasureLaw(
        name=f.name, kind=f.kind, form=form_text(f.kind, f.law.names), reference_size=size,
        reference_rate=rate, parameters=parameters, misfit=f.law.fitted.misfit**0.5, error=error,
        errors=errors, margin=margin, margin_error=margin_error, verdict=verdict, critical=found,
        sentences=tuple(words),
    )  # fmt: skip


def _parameters(f: FittedLaw) -> tuple[LawParameter, ...]:
    rows = zip(f.law.names, f.law.values, *f.law.intervals, strict=True)
    return tuple(
        LawParameter(
            name=n, meaning=MEANINGS[f.kind][n], value=float(v), low=float(low), high=float(high)
        )
        for n, v, low, high in rows
    )


def critical_values(
    found: Law, points: Array, space: Space, asked: LawSettings = ALL
) -> tuple[CriticalValue, ...]:
    """Critical values of replay and mono in a loss's law over recipes at `points`, if both the
    recipes and the space vary them."""
    at, out = _critical_recipe(space, points, asked.learning_rate), []
    for column, parameter in (("B", REPLAY), ("C", MONO)):
        ends = sorted(float(v) for v in space.values(COLUMNS[parameter]))
        if column in found.names and len(set(ends)) == 2:
            point = points_of([at])[1][0]
            value = critical(found, point, parameter, (ends[0], ends[1]), asked.limit)
            out.append(_critical(value, COLUMNS[parameter], at, ends[1], asked.limit))
    return tuple(out)


def _critical(c: CriticalRatio, name: str, at: Recipe, most: float, limit: float) -> CriticalValue:
    numbers = {"value": c.value, "low": c.low, "high": c.high}
    shown = {k: v if np.isfinite(v) else None for k, v in numbers.items()}
    more = {"none": c.none, "not_needed": c.not_needed, "most": most, "limit": limit}
    made = CriticalValue.model_validate(
        {"parameter": name, "recipe": at, **shown, **more, "text": ""}
    )
    return made.model_copy(update={"text": critical_sentence(made)})


def _critical_recipe(space: Space, points: Array, learning_rate: float | None) -> Recipe:
    """The recipe of the largest size, with every other parameter at its least value in the
    space."""
    rate = learning_rate or space.guesses.get("learning_rate") or space.fixed.get("learning_rate")
    rate = rate or float(np.exp(np.log(points[:, RATE]).mean()))
    least = {n: min(found) for n in COLUMNS[REPLAY:] if (found := space.values(n))}  # type: ignore[type-var]
    size = space.largest("parallel_size")
    return Recipe.model_validate({**least, "parallel_size": size, "learning_rate": rate})


def grid(space: Space) -> list[Recipe]:
    """A grid over the space: all combinations of some values of the parameters that the laws use.
    Every other parameter has its guess, or its first value."""
    levels = dict(zip(COLUMNS, LEVELS, strict=True))
    values = {name: _levels(space, name, levels.get(name, 1)) for name in space.parameters}
    combined = (dict(zip(values, chosen, strict=True)) for chosen in product(*values.values()))
    return list(dict.fromkeys(map(space.recipe, combined)))


def _levels(space: Space, name: str, count: int) -> list[Value]:
    parameter = space.parameters[name]
    if isinstance(parameter, Choices) or count == 1:
        return [parameter.guess if parameter.guess is not None else values_of(parameter)[0]]
    low, high = (values_of(parameter)[end] for end in (0, -1))  # the same if there is one value
    spaced = np.geomspace if parameter.log else np.linspace
    found = spaced(float(low), float(high), count).clip(float(low), float(high)).tolist()
    if parameter.type == "int":
        return sorted({round(v) for v in found})
    return list(dict.fromkeys(found))


def _optimum(
    fitted: Sequence[FittedLaw], study: Study, space: Space, utility: Utility | None
) -> Optimum | None:
    used = [f for f in fitted if f.name in study.objectives]
    if len(used) < 2:
        return None
    recipes = grid(space)
    _, at = points_of(recipes)
    scales = np.array([max(f.values.std(), np.diag(f.covariance).mean() ** 0.5) for f in used])
    found = best([f.law for f in used], at, utility or (lambda gains: worth(gains, scales)))
    point = at[[found.index]]
    gains = {f.name: _interval(f.law.gaps(point)[0], f.law.drawn_gaps(point)[:, 0]) for f in used}
    ranges = {
        name: _interval(point[0, i], at[found.indices, i])
        for i, name in enumerate(COLUMNS)
        if name in space.parameters
    }
    without = tuple(n for n in study.objectives if n not in gains)
    made = Optimum(
        recipe=recipes[found.index], ranges=ranges, gains=gains, without_law=without, text=""
    )
    return made.model_copy(update={"text": _optimum_text(made)})


def _interval(value: float, draws: Array) -> Interval:
    low, high = np.quantile(draws, TAILS)
    return Interval(value=float(value), low=float(low), high=float(high))


def _optimum_text(found: Optimum) -> str:
    recipe = ", ".join(f"{name} {r.text()}" for name, r in found.ranges.items())
    gains = ", ".join(f"{name} {g.value:+.3g} [{g.low:+.3g}, {g.high:+.3g}]"
                      for name, g in found.gains.items())  # fmt: skip
    without = f" (without {', '.join(found.without_law)})" if found.without_law else ""
    return f"best recipe by the laws{without}: {recipe}; compared with the base model: {gains}"


def law_lines(found: Laws) -> list[str]:
    """Lines for a terminal."""
    lines = [
        f"Laws fitted to the differences of {found.recipes} recipes from the base model [95 % "
        f"interval]. {SYMBOLS}"
    ]
    for m in found.measures:
        at = f"n in units of {m.reference_size:.0f}, r of {m.reference_rate:.2g}"
        lines += ["", f"{m.name}: {m.form}   ({at})"]
        lines += [f"  {p.name} = {p.text():28} {p.meaning}" for p in m.parameters]
        lines += [f"  - {sentence}" for sentence in m.sentences]
    if found.optimum is not None:
        lines += ["", found.optimum.text]
    skipped = [f"{name}: no law ({reason})" for name, reason in found.skipped.items()]
    return [*lines, *skipped, *found.notes]
