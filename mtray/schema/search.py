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
    """`trials`: baselines, searched recipes and replicates together. `baselines`: which of them run
    (all, none, or a list), as far as the study has the sources for them.
    `max_minutes`: no trial starts after that. `trial_minutes`: for one trial, all its
    attempts and starts of the sweep together, without what it waits for a place.
    `replicate_share`: share of the trials that, near the end, train candidates of the front again
    with other seeds; 0 switches that off. `device_hours`: no trial starts once the trials took so
    many hours times devices. `patience`: none starts once so many trials in a row gained no
    hypervolume."""

    trials: Annotated[int, Field(ge=1)] = 14
    baselines: Annotated[tuple[Baseline, ...], BeforeValidator(_baselines)] = BASELINES
    replicate_share: Annotated[float, Field(ge=0, le=0.5)] = 0.25
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    trial_minutes: Annotated[float, Field(gt=0)] | None = None
    device_hours: Annotated[float, Field(gt=0)] | None = None
    patience: Annotated[int, Field(ge=2)] | None = None


class EarlyStopping(Frozen):
    """Rungs inside a trial: after these shares of its steps both objectives are measured on a part
    of the segments, and a trial that is worse all round ends there (`mtray.search.rungs`).

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
