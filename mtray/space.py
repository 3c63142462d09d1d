"""Read a search space: YAML -> `Space` -> Optuna distributions. One parameter is one line; its name is a field of `Recipe`.

parallel_size: {type: int, low: 256, high: 8192, log: true}
mono_ratio: {type: float, low: 0.0, high: 2.0}
frozen_layers: {type: categorical, choices: [0, 2, 4]}
learning_rate: 0.001          # fixed
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from mtray.errors import ConfigError
from mtray.schema import Frozen, Recipe
from mtray.study import explain, read_yaml

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Number = int | float


class _Range(Frozen):
    @model_validator(mode="after")
    def _ordered(self) -> _Range:
        low, high = getattr(self, "low"), getattr(self, "high")  # noqa: B009  (fields of the subclasses)
        if low > high:
            raise ValueError(f"low {low} is above high {high}")
        if getattr(self, "log") and low <= 0:  # noqa: B009
            raise ValueError(f"a log scale needs low above 0, found {low}")
        return self


class FloatRange(_Range):
    type: Literal["float"]
    low: float
    high: float
    log: bool = False
    step: Annotated[float, Field(gt=0)] | None = None


class IntRange(_Range):
    type: Literal["int"]
    low: int
    high: int
    log: bool = False
    step: Annotated[int, Field(ge=1)] = 1


class Choices(Frozen):
    type: Literal["categorical"]
    choices: Annotated[tuple[Number, ...], Field(min_length=1)]


Parameter = Annotated[FloatRange | IntRange | Choices, Field(discriminator="type")]
TYPES: dict[str, type[FloatRange | IntRange | Choices]] = {
    "float": FloatRange,
    "int": IntRange,
    "categorical": Choices,
}


class Space(Frozen):
    """What varies (`parameters`) and what is set to one value (`fixed`); both by names of `Recipe` fields."""

    parameters: dict[str, Parameter]
    fixed: dict[str, Number] = {}

    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's distribution for each varied parameter, under the same flat name."""
        from optuna import distributions as od

        out: dict[str, BaseDistribution] = {}
        for name, p in self.parameters.items():
            if isinstance(p, FloatRange):
                out[name] = od.FloatDistribution(p.low, p.high, log=p.log, step=p.step)
            elif isinstance(p, IntRange):
                out[name] = od.IntDistribution(p.low, p.high, log=p.log, step=p.step)
            else:
                out[name] = od.CategoricalDistribution(p.choices)
        return out

    def recipe(self, params: dict[str, Number]) -> Recipe:
        """The recipe of one suggestion."""
        return Recipe.model_validate({**self.fixed, **params})

    def largest(self, name: str) -> Number | None:
        """Upper end of a parameter, the fixed value, or None when the space does not set it."""
        if name in self.fixed:
            return self.fixed[name]
        p = self.parameters.get(name)
        if p is None:
            return None
        return max(p.choices) if isinstance(p, Choices) else p.high


def load_space(path: Path, defaults: dict[str, float] | None = None) -> Space:
    """The space of a YAML file; `defaults` (from the study) fix what the file does not name. Raises ConfigError."""
    raw = read_yaml(path)
    unknown = [name for name in raw if name not in Recipe.model_fields]
    if unknown:
        allowed = ", ".join(Recipe.model_fields)
        raise ConfigError(f"{path}: unknown parameter {unknown[0]!r}; allowed: {allowed}")
    fixed = {k: v for k, v in raw.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    varied = {k: v for k, v in raw.items() if k not in fixed}
    parameters = {name: _parameter(path, name, found) for name, found in varied.items()}
    kept = {k: v for k, v in (defaults or {}).items() if k not in varied}
    space = Space(parameters=parameters, fixed={**kept, **fixed})
    if not space.parameters:
        raise ConfigError(f"{path}: every parameter is fixed; at least one needs a range to search")
    _check_ends(space, path)
    return space


def _parameter(path: Path, name: str, found: object) -> FloatRange | IntRange | Choices:
    """One line of a space file, checked against the model of its `type`."""
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: {name}: expected a number or a mapping with `type`, found {found!r}")
    model = TYPES.get(str(found.get("type")))
    if model is None:
        kinds = ", ".join(TYPES)
        raise ConfigError(f"{path}: {name}.type: expected one of {kinds}, found {found.get('type')!r}")
    try:
        return model.model_validate(found)
    except ValidationError as error:
        raise explain(error, path, model, prefix=name) from None


def _check_ends(space: Space, path: Path) -> None:
    """Both ends of every range must make a valid recipe, so that no suggestion can be refused later."""
    for name, p in space.parameters.items():
        ends = list(p.choices) if isinstance(p, Choices) else [p.low, p.high]
        for end in ends:
            try:
                Recipe.model_validate({"parallel_size": 1, **space.fixed, name: end})
            except ValidationError as error:
                message = error.errors()[0]["msg"]
                raise ConfigError(f"{path}: {name}: {message}, found {end!r}") from None
    if space.largest("parallel_size") is None:
        raise ConfigError(f"{path}: parallel_size is neither searched nor fixed; add a line for it")
