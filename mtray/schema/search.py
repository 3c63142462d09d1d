"""How a study searches: what it may spend, when trials end early, and what scores must keep to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from mtray.schema.base import BASELINES, Baseline, Frozen


def _baselines(given: object) -> tuple[str, ...]:
    """`all`, `none`, one or a list as the list of them. ValueError for any other."""
    words: dict[object, tuple[str, ...]] = {"all": BASELINES, "none": ()}
    found = words.get(given, (given,)) if isinstance(given, str) else given
    if not isinstance(found, list | tuple) or any(name not in BASELINES for name in found):
        raise ValueError(f"expected all, none, or a list of {', '.join(BASELINES)}")
    return tuple(name for name in BASELINES if name in found)


class Budget(Frozen):
    """What is spent. No trial starts after `max_minutes`, once `device_hours` are spent, or after
    `patience` trials without a gain.

    - `trials`: baselines, searched recipes, repeats and the confirmation together.
    - `baselines`: which of them run (all, none, or a list), as far as the study has the sources.
    - `replicate_share`: of the trials, trained again with other seeds: the first baseline at the
      start, candidates of the front near the end; 0 switches both off.
    - `confirm`: trials at the end that train the recommended recipe.
    - `settle`: beyond `trials`, further ones are spent on what settles the answer, until it holds
      with this probability.
    - `ceiling`: trials in all with those; None: half as many again.
    - `max_minutes`: of wall-clock time, for one start of the sweep.
    - `trial_minutes`: for one trial, all its attempts and starts of the sweep together, without
      what it waits for a place.
    - `device_hours`: hours of the trials times the devices that each holds.
    - `patience`: trials in a row that gain no hypervolume.
    """

    trials: Annotated[int, Field(ge=1)] = 14
    baselines: Annotated[tuple[Baseline, ...], BeforeValidator(_baselines)] = BASELINES
    replicate_share: Annotated[float, Field(ge=0, le=0.5)] = 0.25
    confirm: Annotated[int, Field(ge=0, le=1)] = 1
    settle: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    ceiling: Annotated[int, Field(ge=1)] | None = None
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    trial_minutes: Annotated[float, Field(gt=0)] | None = None
    device_hours: Annotated[float, Field(gt=0)] | None = None
    patience: Annotated[int, Field(ge=2)] | None = None

    @model_validator(mode="after")
    def _room(self) -> Budget:
        if self.ceiling is not None and self.ceiling < self.trials:
            raise ValueError(
                f"`ceiling` is {self.ceiling}, and `trials` is {self.trials} already; set it to as "
                "many or more"
            )
        return self


class EarlyStopping(Frozen):
    """Rungs inside a trial: after these shares of its steps both objectives are measured on a part
    of the segments, and a trial that is worse all round ends there
    (`mtray.search.early_stopping.rungs`).

    `segments`: share of every evaluation set that a rung takes. A trial ends when its quality is in
    the `worst` share of a rung's trials and `dominating` of them are better in every objective by
    more than `margin` combined standard errors, as soon as `others` have been measured there; or
    when an objective breaks its floor by more than `margin` standard errors. The first rung ends a
    trial by a floor alone: quality may dip early.
    """

    rungs: Annotated[
        tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1, max_length=9)
    ]
    segments: Annotated[float, Field(gt=0, le=1)] = 0.25
    margin: Annotated[float, Field(ge=0)] = 1.0
    worst: Annotated[float, Field(gt=0, le=1)] = 0.5
    dominating: Annotated[int, Field(ge=1)] = 2
    others: Annotated[int, Field(ge=1)] = 4
    floors: dict[str, float] = {}

    @model_validator(mode="after")
    def _can_stop(self) -> EarlyStopping:
        if any(a >= b for a, b in zip(self.rungs, self.rungs[1:], strict=False)):
            raise ValueError("`rungs` must increase strictly")
        if len(self.rungs) == 1 and not self.floors:
            raise ValueError(
                "`rungs` holds one rung, and the first ends no trial without `floors`; give two"
            )
        if self.others < self.dominating:
            raise ValueError(
                f"`others` is {self.others}, fewer than the {self.dominating} `dominating` trials"
            )
        return self


class Limit(Frozen):
    """What a score must keep to; both ends may be given."""

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Limit:
        if self.at_least is None and self.at_most is None:
            raise ValueError("a constraint needs at_least or at_most")
        return self

    def over(self, value: float) -> float:
        """How far a value is beyond the limit, in its own unit; 0 and below: it keeps to it."""
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
    """In words, which limits the values are beyond; None where they keep to all."""
    said = [
        f"{name} is {values[name]:.4g}, not {limits[name].text()}"
        for name, by in beyond(limits, values).items()
        if by > 0
    ]
    return f"breaks a constraint: {'; '.join(said)}" if said else None
