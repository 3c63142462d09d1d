"""Which rows of a corpus are dropped before any further processing."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from mtray.schema.base import Frozen

Leakage = Literal["error", "drop", "allow"]


class Between(Frozen):
    """A range of lengths, both ends included. None: no bound on that side."""

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
    """What is dropped from a source. A row is tested in the order of the keys; null or false
    switches a filter off.

    - `empty`: drop rows with an empty side.
    - `control_characters`: drop rows with a control character in any side.
    - `characters`: allowed length of every side, in characters.
    - `words`: allowed length of every side, in words separated by white space.
    - `length_ratio`: for pairs, the largest allowed ratio of the longer side to the shorter one, in
      characters.
    - `identical`: drop pairs whose two sides are the same text.
    - `leakage`: what to do with rows that overlap with texts of the evaluation sets.
    - `shots_leakage`: the same for texts of the files that their shots are drawn from.
    - `wrong_language`: drop rows with a side in another language; `exact` runs lingua on every
      side, `quick` only where its fast mode detects another language.
    - `duplicates`: drop rows that repeat an earlier one as a whole (`row`), or in their source or
      target.
    - `near_duplicates`: the least Jaccard similarity of character 5-grams at which rows count as
      near-duplicates.
    """

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
    """The keys of `Filters` that a source overrides, with values of their types. ValueError naming
    the key."""
    try:
        return Filters.model_validate(given).model_dump(exclude_unset=True)
    except ValidationError as error:
        found = error.errors()[0]
        key = ".".join(map(str, found["loc"]))
        if found["type"] == "extra_forbidden":
            allowed = ", ".join(Filters.model_fields)
            raise ValueError(f"unknown key {key!r}; allowed: {allowed}") from None
        message = found["msg"].removeprefix("Value error, ")
        raise ValueError(f"{key}: {message}, found {found['input']!r}") from None
