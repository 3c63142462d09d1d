"""Which rows of a corpus are left out before anything is made of them."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from mtray.schema.base import Frozen

Leakage = Literal["error", "drop", "allow"]


class Between(Frozen):
    """A range of lengths, both ends allowed values; None: no end."""

    at_least: Annotated[int, Field(ge=0)] | None = None
    at_most: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _holds_something(self) -> Between:
        if self.at_least is None and self.at_most is None:
            raise ValueError("needs at_least or at_most")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least} is more than at_most {self.at_most}")
        return self

    def holds(self, length: int) -> bool:
        return (self.at_least or 0) <= length <= (self.at_most or math.inf)


class Filters(Frozen):
    """What is left out of a source, in the order in which a row is tried; null or false: off.

    `characters`, `words` (by white space) and `control_characters` look at every side of a row,
    `length_ratio` (the longer side's characters by the shorter's, at most) and `identical` at
    pairs. `leakage`: texts of the evaluation sets; `shots_leakage`: of the files that their shots
    are drawn from. `wrong_language`: `exact` asks lingua of every side, `quick` only where its
    fast mode does not see the language that is expected. `duplicates`: rows that are equal, or
    whose source or target is. `near_duplicates`: the least Jaccard similarity of character
    5-grams."""

    empty: bool = True
    control_characters: bool = False
    characters: Between | None = None
    words: Between | None = None
    length_ratio: Annotated[float, Field(ge=1)] | None = None
    identical: bool = False
    leakage: Leakage | None = "error"
    shots_leakage: Leakage | None = "allow"
    wrong_language: Literal["exact", "quick"] | None = None
    duplicates: Literal["row", "source", "target"] | None = None
    near_duplicates: Annotated[float, Field(ge=0.5, le=1)] | None = None


def check_filters(given: dict[str, Any]) -> dict[str, Any]:
    """A part of the keys of `Filters`, as a source gives them. ValueError naming the key."""
    try:
        Filters.model_validate(given)
    except ValidationError as error:
        found = error.errors()[0]
        key = ".".join(map(str, found["loc"]))
        if found["type"] == "extra_forbidden":
            allowed = ", ".join(Filters.model_fields)
            raise ValueError(f"unknown key {key!r}; allowed: {allowed}") from None
        message = found["msg"].removeprefix("Value error, ")
        raise ValueError(f"{key}: {message}, found {found['input']!r}") from None
    return given
