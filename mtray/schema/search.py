"""How a study searches: its budget, when trials end early, and the limits on scores."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from mtray.schema.base import BASELINES, Baseline, Frozen
from mtray.schema.record import is_cost

MOST_RECIPES = 10_000  # that a study gives; a few lists of values multiply to any number


def _baselines(given: object) -> tuple[str, ...]:
    """`all`, `none`, one name or a list, as a tuple of names. ValueError for anything else."""
    words: dict[object, tuple[str, ...]] = {"all": BASELINES, "none": ()}
    found = words.get(given, (given,)) if isinstance(given, str) else given
    if not isinstance(found, list | tuple) or any(name not in BASELINES for name in found):
        raise ValueError(f"expected all, none, or a list of {', '.join(BASELINES)}")
    return tuple(name for name in BASELINES if name in found)


def _expanded(given: Sequence[Any]) -> list[Any]:
    """Every recipe of a list in which a list of values stands for each of them; the last parameter
    that has one varies fastest. ValueError for a list without values, for truth values, and for
    more than `MOST_RECIPES`."""
    out: list[Any] = []
    for place, found in enumerate(given, 1):
        if not isinstance(found, dict):
            return list(given)  # which is then refused, with its place
        choices = [v if isinstance(v, list | tuple) else [v] for v in found.values()]
        _check_values(place, dict(zip(found, choices, strict=True)))
        if len(out) + math.prod(map(len, choices)) > MOST_RECIPES:
            raise ValueError(
                f"`recipes` {place}: its lists of values stand for more than {MOST_RECIPES:,} "
                "recipes in all; give fewer values"
            )
        out += [dict(zip(found, values, strict=True)) for values in product(*choices)]
    return out


def _check_values(place: int, choices: Mapping[str, Sequence[Any]]) -> None:
    for name, values in choices.items():
        if not values:
            raise ValueError(f"`recipes` {place}: {name} has no value; give one, or drop the line")
        if any(isinstance(value, bool) for value in values):
            raise ValueError(f"`recipes` {place}: {name} is true or false; give a number or text")


class Budget(Frozen):
    """What a sweep may spend. No trial starts after `max_minutes`, once `device_hours` are spent,
    or after `patience` trials without a gain.

    - `trials`: baselines, searched recipes, replicates and the confirmation together (default: 14,
      or as many as `recipes`).
    - `baselines`: which of them run (all, none, or a list), if the study has the sources for them.
    - `recipes`: recipes that are trained after the baselines and before any that the search
      suggests, in this order; a list of values stands for each of them. Each recipe must give every
      searched parameter that has no default; one that is listed again is trained with another seed.
      A value of a parameter that the recipe switches off is left out. Of weights or directions that
      sum to a whole, those that are not given are 0, if the others make up the whole.
    - `replicate_share`: share of the trials that are replicates with other seeds: of the first
      baseline at the start, of candidates for the front near the end; 0 for none.
    - `confirm`: number of trials at the end that train the recommended recipe, again or for the
      first time.
    - `settle`: the probability with which the answer must hold; further trials beyond `trials` are
      run until it does.
    - `ceiling`: the most trials in all, including the further ones of `settle`; None: half as many
      again as `trials`.
    - `max_minutes`: limit on the wall-clock time of one start of the sweep.
    - `trial_minutes`: limit on the running time of one trial over all its attempts and all starts
      of the sweep, without time spent waiting for workers.
    - `device_hours`: limit on the running time of all trials times the devices that each holds.
    - `patience`: limit on consecutive trials that gain no hypervolume. With limits in `prefer`, of
      the part of the front that reaches them; until a trial does, coming nearer is a gain.
    """

    trials: Annotated[int, Field(ge=1)] = 14
    baselines: Annotated[tuple[Baseline, ...], BeforeValidator(_baselines)] = BASELINES
    recipes: tuple[dict[str, int | float | str], ...] = ()
    replicate_share: Annotated[float, Field(ge=0, le=0.5)] = 0.25
    confirm: Annotated[int, Field(ge=0, le=1)] = 1
    settle: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    ceiling: Annotated[int, Field(ge=1)] | None = None
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    trial_minutes: Annotated[float, Field(gt=0)] | None = None
    device_hours: Annotated[float, Field(gt=0)] | None = None
    patience: Annotated[int, Field(ge=2)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_recipes(cls, given: Any) -> Any:
        found = given.get("recipes") if isinstance(given, dict) else None
        if not isinstance(found, list | tuple) or not found:
            return given
        recipes = _expanded(found)
        return {"trials": len(recipes), **given, "recipes": recipes}

    @model_validator(mode="after")
    def _room(self) -> Budget:
        if self.ceiling is not None and self.ceiling < self.trials:
            raise ValueError(
                f"`ceiling` is {self.ceiling}, which is below `trials` ({self.trials}); set it to "
                "at least as many"
            )
        return self


class EarlyStopping(Frozen):
    """All objectives are measured on a part of the segments after given shares of a trial's steps
    (rungs), and a trial that is clearly worse ends there (`mtray.search.early_stopping.rungs`). A
    trial ends when its quality is in the `worst` share of the rung's trials and `dominating` of
    them are better in every objective. It also ends when an objective is below its floor. The first
    rung ends a trial only by a floor, since quality may dip early.

    - `rungs`: shares of a trial's steps.
    - `segments`: the share of every evaluation set that is measured at a rung.
    - `margin`: how many combined standard errors a difference between two trials must exceed.
    - `worst`: only the trials in this share of the rung, the worst by quality, may end.
    - `dominating`: how many trials must be better in every objective.
    - `others`: how many other trials must have been measured at the rung.
    - `floors`: the floor of an objective, by its name.
    - `floor_margin`: by how many of its own standard errors a trial must be below a floor.
    """

    rungs: Annotated[
        tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1, max_length=9)
    ]
    segments: Annotated[float, Field(gt=0, le=1)] = 0.25
    margin: Annotated[float, Field(ge=0)] = 0.0
    worst: Annotated[float, Field(gt=0, le=1)] = 0.5
    dominating: Annotated[int, Field(ge=1)] = 2
    others: Annotated[int, Field(ge=1)] = 4
    floors: dict[str, float] = {}
    floor_margin: Annotated[float, Field(ge=0)] = 1.0

    @model_validator(mode="after")
    def _can_stop(self) -> EarlyStopping:
        if any(a >= b for a, b in zip(self.rungs, self.rungs[1:], strict=False)):
            raise ValueError("`rungs` must increase strictly")
        if len(self.rungs) == 1 and not self.floors:
            raise ValueError(
                "`rungs` has one rung, and without `floors` the first ends no trial; give two"
            )
        if self.others < self.dominating:
            raise ValueError(
                f"`others` is {self.others}, fewer than the {self.dominating} `dominating` trials"
            )
        return self


def check_early_stopping(rule: EarlyStopping | None, objectives: Collection[str]) -> None:
    """ValueError if a rung cannot measure an objective, or a floor is of none."""
    if rule is None:
        return
    if costs := [name for name in objectives if is_cost(name)]:
        raise ValueError(
            f"`early_stopping` compares trials at a rung, where {costs[0]!r} has no value yet; "
            "drop one of the two"
        )
    for name in rule.floors:
        if name not in objectives:
            raise ValueError(
                f"`early_stopping.floors` names {name!r}; `objectives` has {', '.join(objectives)}"
            )


class Limit(Frozen):
    """A limit on a score; both ends may be given."""

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Limit:
        if self.at_least is None and self.at_most is None:
            raise ValueError("a constraint needs at_least or at_most")
        return self

    def over(self, value: float) -> float:
        """How far a value is beyond the limit, in its own unit; 0 or less: the limit is kept."""
        below = -math.inf if self.at_least is None else self.at_least - value
        above = -math.inf if self.at_most is None else value - self.at_most
        return max(below, above)

    def text(self) -> str:
        ends = [("at least", self.at_least), ("at most", self.at_most)]
        return " and ".join(f"{words} {end:g}" for words, end in ends if end is not None)


def beyond(limits: Mapping[str, Limit], values: Mapping[str, float]) -> dict[str, float]:
    """How far each limited value is beyond its limit, by name (`Limit.over`)."""
    return {name: limit.over(values[name]) for name, limit in limits.items()}


def broken_reason(limits: Mapping[str, Limit], values: Mapping[str, float]) -> str | None:
    """In words, which limits the values break; None where they keep all."""
    said = [
        f"{name} is {values[name]:.4g}, not {limits[name].text()}"
        for name, by in beyond(limits, values).items()
        if by > 0
    ]
    return f"breaks a constraint: {'; '.join(said)}" if said else None
