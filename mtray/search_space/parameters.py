"""One parameter of a space: its range or choices, and the conditions under which it is on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from mtray.schema import Frozen, Pool

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Number = int | float
Value = int | float | str
STEP_TOLERANCE = 1e-8  # of a step; Optuna's tolerance for values of a stepped range
ROUNDING = 1e-12  # of an end; values of a log scale were suggested beyond it by this much


def shown(value: Value) -> str:
    """A parameter's value in words."""
    return f"{value:g}" if isinstance(value, float) else str(value)


class Condition(Frozen):
    """A condition on the value of another parameter; all that are given must hold.

    - `above`: strictly above this number.
    - `below`: strictly below this number.
    - `among`: one of these values.
    """

    above: float | None = None
    below: float | None = None
    among: tuple[Value, ...] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Condition:
        if self.above is None and self.below is None and not self.among:
            raise ValueError("a condition needs one of above, below, among")
        return self

    def holds(self, value: Value) -> bool:
        """A string is neither above nor below a number."""
        number = value if isinstance(value, int | float) else None
        return (
            (self.above is None or (number is not None and number > self.above))
            and (self.below is None or (number is not None and number < self.below))
            and (self.among is None or value in self.among)
        )


class _Varied(Frozen):
    """A parameter that is searched.

    - `when`: conditions by parameter; where one fails, this parameter is off and has the default of
      its `Recipe` field.
    - `guess`: a value believed to be good; the search looks near it first and trusts it less with
      every trial.
    """

    when: dict[str, Condition] = {}  # noqa: RUF012  (pydantic copies defaults)


class _Range(_Varied):
    guess: Number | None = None
    low: float
    high: float
    log: bool = False
    step: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> _Range:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        if self.guess is not None and not self.low <= self.guess <= self.high:
            raise ValueError(f"guess {self.guess} is not within {self.low} to {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a log scale needs low above 0, found {self.low}")
        if self.log and self.step != type(self).model_fields["step"].default:
            raise ValueError(f"a log scale takes no step, found {self.step}")
        return self

    def text(self) -> str:
        """The range in words, such as `128 to 4096, log scale`."""
        if self.low == self.high:
            return f"{self.low:g}"
        step = type(self).model_fields["step"].default
        steps = f", in steps of {self.step:g}" if self.step not in (None, step) else ""
        return f"{self.low:g} to {self.high:g}{', log scale' if self.log else ''}{steps}"


class FloatRange(_Range):
    type: Literal["float"]

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)


class IntRange(_Range):
    type: Literal["int"]
    low: int
    high: int
    step: Annotated[int, Field(ge=1)] = 1

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import IntDistribution

        return IntDistribution(self.low, self.high, log=self.log, step=self.step)


class Share(FloatRange):
    """The weight of a source (`weight.SOURCE`), searched together with those of the other sources
    of its kind, or the share of a direction (`direction.xx-yy`), with those of all directions: they
    sum to 1, and every division of it is equally likely before anything is measured. One that is
    fixed keeps its value, and the others divide the rest.

    - `guess`: a share believed to be good.
    - `high`, `pool`, `count`: what the searched shares sum to, of which kind they are, and how many
      they are. They follow from the file's other lines and from the study.
    """

    type: Literal["share"]  # type: ignore[assignment]
    low: float = 0.0
    high: float = 1.0
    pool: Pool = "parallel"
    count: int = 0

    def text(self) -> str:
        whole = self.pool if self.pool == "directions" else f"{self.pool} sources"
        return f"0 to {self.high:g}, a share of the {whole}"

    def distribution(self) -> BaseDistribution:
        from mtray.search_space.shares import ShareDistribution

        return ShareDistribution(self.pool, self.high, self.count)


class Choices(_Varied):
    type: Literal["categorical"]
    choices: Annotated[tuple[Value, ...], Field(min_length=1)]
    guess: Value | None = None

    @model_validator(mode="after")
    def _guess_is_one(self) -> Choices:
        if self.guess is not None and self.guess not in self.choices:
            raise ValueError(f"guess {self.guess} is not one of the choices")
        return self

    def text(self) -> str:
        return "one of " + ", ".join(map(shown, self.choices))

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.choices)


def holds(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a distribution contains a value, up to rounding."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    try:
        number = distribution.to_internal_repr(value)
    except ValueError:  # not one of the choices
        return False
    if isinstance(distribution, CategoricalDistribution):
        return True
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    steps = (number - low) / step if step else 0.0
    slack = ROUNDING * max(abs(low), abs(high))
    reached = low - slack <= number <= high + slack
    return bool(reached and abs(steps - round(steps)) < STEP_TOLERANCE)


def within(distribution: BaseDistribution, value: Any) -> Any:
    """The value, or the end of the range that it lies beyond."""
    from optuna.distributions import FloatDistribution, IntDistribution

    if not isinstance(distribution, FloatDistribution | IntDistribution):
        return value
    return min(max(value, distribution.low), distribution.high)


Parameter = Annotated[FloatRange | IntRange | Choices | Share, Field(discriminator="type")]
TYPES: dict[str, type[FloatRange | IntRange | Choices | Share]] = {
    "float": FloatRange,
    "int": IntRange,
    "categorical": Choices,
    "share": Share,
}


def values_of(parameter: Parameter, conditions: Sequence[Condition] = ()) -> list[Value]:
    """Every choice; of a range, its two ends and the values next to every threshold of the
    conditions on it, so that each part of the range in which every condition has the same result is
    represented by its own ends."""
    if isinstance(parameter, Choices):
        return list(parameter.choices)
    low, high = _ends(parameter)
    found: set[Number] = {low, high}
    for condition in conditions:
        for limit in (condition.above, condition.below, *(condition.among or ())):
            if limit is not None and not isinstance(limit, str):
                found |= set(_beside(limit, low, high, parameter.step))
    return sorted(v for v in found if low <= v <= high)


def _ends(parameter: FloatRange | IntRange) -> tuple[Number, Number]:
    """The ends as Optuna has them: with a step, the high end is the last whole step."""
    from optuna.distributions import FloatDistribution, IntDistribution

    found = parameter.distribution()
    assert isinstance(found, FloatDistribution | IntDistribution)
    return found.low, found.high


def _beside(limit: Number, low: Number, high: Number, step: Number | None) -> Iterator[Number]:
    """The values of a range nearest to a limit: below it, at it and above it, where they exist."""
    if step is None:
        yield from (math.nextafter(limit, -math.inf), limit, math.nextafter(limit, math.inf))
        return
    near = math.floor((limit - low) / step)
    # computed as in Optuna; steps of .1 from 0 give .30000000000000004, beyond a range that ends at
    # .3
    yield from (min(low + k * step, high) for k in range(near - 1, near + 3))
