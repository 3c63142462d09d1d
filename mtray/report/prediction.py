"""Predictions of a run for a recipe, trained or not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import inf, isfinite

import numpy as np

from mtray.analysis.pareto import maximised
from mtray.analysis.uncertainty import Z95
from mtray.errors import ConfigError
from mtray.report.parameters import Parameters, parameters
from mtray.report.posterior import DRAWS, SEED, AgainstBaseline, expected_between
from mtray.report.surface import ModelledRun
from mtray.run_files import BASE_NUMBER
from mtray.schema import Frozen, Recipe, Role, Sense, default_of, is_cost
from mtray.search_space.parameters import Choices, IntRange, Parameter, Value
from mtray.search_space.simplex import with_given
from mtray.search_space.space import Space


class PredictedMeasure(Frozen):
    """One predicted measure of a recipe.

    - `measure`: its name.
    - `value`, `low`, `high`: the expected value and its 95 % interval, in the measure's own unit.
    - `gain`, `gain_low`, `gain_high`: the same minus the base model's value.
    - `points`: whether the measure is in points, such as BLEU.
    """

    measure: str
    value: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float
    points: bool = False


class Prediction(Frozen):
    """The prediction for one recipe.

    - `trained`: the number of the trial that trained it; None: none did.
    - `measures`: objectives first, then abilities.
    - `against`: gains over every baseline in the objectives.
    - `recipes`: how many the prediction is based on.
    """

    recipe: Parameters
    trained: int | None
    measures: tuple[PredictedMeasure, ...]
    against: tuple[AgainstBaseline, ...]
    recipes: int


def predicted(surface: ModelledRun, recipe: Recipe, objectives: Mapping[str, Sense]) -> Prediction:
    """The prediction by the surfaces of all measures."""
    evidence = surface.evidence
    baselines = [evidence.records[place] for place in evidence.baselines]
    at = surface.coordinates.features([recipe, *(r.recipe for r in baselines)])
    means, deviations = surface.surface.predict(at)
    columns = [surface.names.index(name) for name in objectives]
    draws = surface.surface.draws(at, DRAWS, SEED)[:, :, columns]
    # insert the base model, whose difference from itself is 0, as the second candidate
    draws = np.insert(maximised(draws, list(objectives.values())), 1, 0.0, axis=1)
    expected = np.insert(maximised(means[:, columns], list(objectives.values())), 1, 0.0, axis=0)
    others: list[tuple[Role, int]] = [("base", BASE_NUMBER)]
    others += [(r.role, r.number) for r in baselines]
    base = evidence.base_of(surface.names)
    trained = [r.number for r in evidence.records if r.recipe == recipe]
    return Prediction(
        recipe=parameters(recipe),
        trained=trained[0] if trained else None,
        measures=tuple(
            measure_of(
                name,
                float(means[0, k]),
                float(deviations[0, k]),
                base[name],
                evidence.in_points(name),
            )
            for k, name in enumerate(surface.names)
        ),
        against=tuple(
            AgainstBaseline(
                role=role,
                number=number,
                gains=expected_between(expected, draws, (0, i), evidence, objectives),
            )
            for i, (role, number) in enumerate(others, start=1)
            if number not in trained
        ),
        recipes=len(evidence.records),
    )


def measure_of(
    name: str, gain: float, deviation: float, base: float, points: bool = False
) -> PredictedMeasure:
    """The surface's normal distribution for it; a cost is at least 0, which that does not know."""
    least = 0.0 if is_cost(name) else -inf
    reach = Z95 * deviation
    value, low, high = (max(least, base + gain + step) for step in (0.0, -reach, reach))
    return PredictedMeasure(
        measure=name, value=value, low=low, high=high,
        gain=value - base, gain_low=low - base, gain_high=high - base,
        points=points,
    )  # fmt: skip


def recipe_near(pairs: Sequence[str], start: Recipe, space: Space) -> Recipe:
    """The recipe given by `key=value` pairs, with the values of `start` for the rest, even if the
    space does not contain them. Raises ConfigError for a key that is no parameter of the space, a
    value beyond its range, where a surface cannot predict, or a parameter that the others switch
    off. The weights of sources that are not given keep their proportions."""
    params = {name: start.value(name) for name in space.parameters}
    given = set[str]()
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or name not in space.parameters:
            allowed = ", ".join(f"{n} ({p.text()})" for n, p in space.parameters.items())
            raise ConfigError(
                f"{pair}: expected KEY=VALUE with a key that the run varies: {allowed}"
            )
        params[name] = _value(name, text, space.parameters[name])
        given.add(name)
    off = space.switched_off(params)
    if unused := sorted(given & off):
        whose = ", ".join(space.switched_by(unused[0]))
        raise ConfigError(
            f"{unused[0]}={params[unused[0]]}: it is switched off by {whose} in this recipe; give "
            f"a value of {whose} that switches it on as well"
        )
    params = with_given(params, space.groups, given)
    return start.with_values({**params, **{name: default_of(name) for name in off}})


def _value(name: str, text: str, parameter: Parameter) -> Value:
    if isinstance(parameter, Choices):
        found: dict[str, Value] = {str(value): value for value in parameter.choices}
        if text in found:
            return found[text]
    else:
        number = _number(text)
        if isinstance(parameter, IntRange) and not (number is None or number.is_integer()):
            raise ConfigError(f"{name}={text}: expected a whole number, {parameter.text()}")
        if number is not None and parameter.low <= number <= parameter.high:
            return int(number) if isinstance(parameter, IntRange) else number
    raise ConfigError(
        f"{name}={text}: this run's space has {name} {parameter.text()}; a prediction beyond that "
        "would be a guess"
    )


def _number(text: str) -> float | None:
    """The number, with or without thousands separators, as in tables; None for anything else, such
    as `1,5`."""
    if "," in text and not re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d*)?", text):
        return None
    try:
        found = float(text.replace(",", ""))
    except ValueError:
        return None
    return found if isfinite(found) else None
