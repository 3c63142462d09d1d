"""Read a search space: YAML -> `Space` -> Optuna distributions. One parameter is one line; its name
is a field of `Recipe`, `weight.` and the name of a source, or `direction.` and two languages.

parallel_size: {type: int, low: 256, high: 8192, log: true}
mono_ratio: {type: float, low: 0.0, high: 2.0}
learning_rate: {type: float, low: 0.0001, high: 0.01, log: true, guess: 0.001}
replay_fraction: 0.1          # fixed
frozen_layers: {type: int, low: 0, high: 4, when: {mono_ratio: {above: 0.5}}}
method: {type: categorical, choices: [full, lora]}
lora_rank: {type: int, low: 4, high: 64, log: true, when: {method: {among: [lora]}}}
weight.news: {type: share}    # with `weight.web: {type: share}`: they sum to 1
direction.en-uk: {type: share}    # with `direction.uk-en: {type: share}`, likewise
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mtray.errors import ConfigError
from mtray.schema import (
    RENAMED,
    SIZE_OF,
    Frozen,
    Pool,
    Recipe,
    Source,
    default_of,
    is_parameter,
    parameter_names,
)
from mtray.search_space.parameters import (
    TYPES,
    Choices,
    Condition,
    Parameter,
    Share,
    Value,
    holds,
    shown,
    values_of,
)
from mtray.search_space.share_groups import check_names, with_groups
from mtray.search_space.simplex import on_simplex
from mtray.study import explain
from mtray.yaml_files import read_yaml

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


# parameters that every recipe needs, and an example line for each
REQUIRED = {
    "parallel_size": "{type: int, low: 256, high: 8192, log: true}",
    "learning_rate": "{type: float, low: 1e-5, high: 1e-3, log: true}",
}


class Space(Frozen):
    """What is searched and what is fixed, by names of `Recipe` fields.

    - `parameters`: the searched parameters.
    - `fixed`: parameters set to one value.
    """

    parameters: dict[str, Parameter]
    fixed: dict[str, Value] = {}  # noqa: RUF012  (pydantic copies defaults)

    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's distribution of each searched parameter, under the same flat name."""
        return {name: p.distribution() for name, p in self.parameters.items()}

    @property
    def guesses(self) -> dict[str, Value]:
        return {name: p.guess for name, p in self.parameters.items() if p.guess is not None}

    def recipe(self, params: Mapping[str, Value]) -> Recipe:
        """The recipe of a suggestion; a parameter switched off by its condition has its field's
        default."""
        values = {**self.fixed, **self.on_simplex(params)}
        values |= {name: default_of(name) for name in self.switched_off(params)}
        return Recipe.model_validate(values)

    @property
    def groups(self) -> dict[Pool, tuple[list[str], float]]:
        """The searched weights by kind, and directions: their names, and what they sum to."""
        found: dict[Pool, tuple[list[str], float]] = {}
        for name, p in self.parameters.items():
            if isinstance(p, Share):
                found.setdefault(p.pool, ([], p.high))[0].append(name)
        return found

    def on_simplex(self, params: Mapping[str, Value]) -> dict[str, Value]:
        """The parameters with the shares of every group divided so that they sum to its whole."""
        return on_simplex(params, self.groups)

    def switched_off(self, params: Mapping[str, Value]) -> set[str]:
        """The names in a suggestion whose condition fails, and the weights of a kind of which it
        has no text."""
        if not self.has_conditions:
            return set()
        values, off = {**self.fixed, **params}, set()
        for name in self.in_order():
            conditions = self.parameters[name].when if name in params else {}
            if not all(c.holds(_value(values, other)) for other, c in conditions.items()):
                values[name] = default_of(name)
                off.add(name)
        for pool, (names, _) in self.groups.items():
            if _value(values, SIZE_OF[pool]) == 0:
                off |= {*names} & params.keys()
        return off

    @property
    def has_conditions(self) -> bool:
        """Whether a parameter can be switched off."""
        return bool(self.groups) or any(p.when for p in self.parameters.values())

    def switched_by(self, name: str) -> list[str]:
        """The parameters that can switch this one off."""
        p = self.parameters[name]
        return [*p.when, *([SIZE_OF[p.pool]] if isinstance(p, Share) else [])]

    def params(self, recipe: Recipe) -> dict[str, Value]:
        """The recipe's values of the searched parameters. One that is switched off and whose value
        its range does not contain gets a value of the range."""
        recipe = self.written_out(recipe)
        values = {name: recipe.value(name) for name in self.parameters}
        off = [
            n
            for n in self.switched_off(values)
            if not holds(self.parameters[n].distribution(), values[n])
        ]
        return self.on_simplex(values | {name: values_of(self.parameters[name])[0] for name in off})

    def written_out(self, recipe: Recipe) -> Recipe:
        """The recipe with a number for `lora_alpha` where the space searches it and it is on."""
        if "lora_alpha" not in self.parameters or recipe.lora_alpha is not None:
            return recipe
        values = {name: recipe.value(name) for name in self.parameters}
        if recipe.method == "full" or "lora_alpha" in self.switched_off(values):
            return recipe
        return recipe.model_copy(update={"lora_alpha": recipe.lora_scale * recipe.lora_rank})

    def in_order(self) -> list[str]:
        """The searched parameters, each after those that its conditions depend on. Raises
        ConfigError for a cycle."""
        before = {name: set(p.when) for name, p in self.parameters.items()}
        try:
            return [n for n in TopologicalSorter(before).static_order() if n in self.parameters]
        except CycleError as error:
            raise ConfigError(
                f"`when` conditions are circular: {' -> '.join(map(str, error.args[1]))}"
            ) from None

    def values(self, name: str) -> tuple[Value, ...]:
        """Every choice of a parameter, both ends of its range, its fixed value, or nothing when the
        space does not set it."""
        if name in self.fixed:
            return (self.fixed[name],)
        p = self.parameters.get(name)
        if p is None:
            return ()
        return p.choices if isinstance(p, Choices) else (p.low, p.high)

    def largest(self, name: str) -> Any:
        """The greatest of `values`; the first where they are strings; None when the space does not
        set it."""
        found = self.values(name)
        words = any(isinstance(v, str) for v in found)
        return found[0] if words else max(found, default=None)  # type: ignore[type-var]


def _value(values: Mapping[str, Value], name: str) -> Value:
    found: Value = values.get(name, default_of(name))
    return found


def load_space(
    path: Path, defaults: Mapping[str, Value] | None = None, sources: Sequence[Source] = ()
) -> Space:
    """The space of a YAML file. Of the study: `defaults` fix parameters that the file does not
    name, and `sources` may have weights and directions. Raises ConfigError."""
    raw = read_yaml(path)
    for where, names in ((str(path), raw), ("the study's defaults", defaults or {})):
        unknown = [name for name in names if not is_parameter(name)]
        if unknown:
            raise unknown_parameter(where, unknown[0])
        check_names(where, list(names), sources)
    fixed = {k: v for k, v in raw.items() if isinstance(v, Value) and not isinstance(v, bool)}
    varied = {k: v for k, v in raw.items() if k not in fixed}
    parameters = {name: _parameter(path, name, found) for name, found in varied.items()}
    fixed = {**{k: v for k, v in (defaults or {}).items() if k not in varied}, **fixed}
    _check_recipe(path, fixed)
    space = Space(parameters=with_groups(path, parameters, fixed, sources), fixed=fixed)
    for name, line in REQUIRED.items():
        if name not in parameters and name not in fixed:
            raise ConfigError(
                f"{path}: {name} is neither searched nor fixed; add a line for it, such as "
                f"`{name}: {line}` or one value, or a value to the study's `defaults`"
            )
    _check_conditions(space, path)
    _check_ends(space, path)
    if all(d.single() for d in space.distributions().values()):
        raise ConfigError(
            f"{path}: every parameter is fixed or has one value; at least one needs a range to "
            f"search, such as `parallel_size: {REQUIRED['parallel_size']}`"
        )
    return space


def unknown_parameter(where: str, name: str) -> ConfigError:
    """The error that says what a parameter is called now, or which ones there are."""
    if name in RENAMED:
        return ConfigError(f"{where}: the parameter {name!r} is now called {RENAMED[name]}")
    return ConfigError(f"{where}: unknown parameter {name!r}; allowed: {parameter_names()}")


def _parameter(path: Path, name: str, found: object) -> Parameter:
    """One line of a space file, checked against the model of its `type`."""
    if not isinstance(found, dict):
        raise ConfigError(
            f"{path}: {name}: expected a value or a mapping with `type`, found {found!r}"
        )
    model = TYPES.get(str(found.get("type")))
    if model is None:
        kinds = ", ".join(TYPES)
        raise ConfigError(
            f"{path}: {name}.type: expected one of {kinds}, found {found.get('type')!r}"
        )
    if model is Share and (more := [key for key in found if key not in ("type", "guess")]):
        raise ConfigError(f"{path}: {name}: a share has no key {more[0]}; allowed: type, guess")
    try:
        return model.model_validate(found)
    except ValidationError as error:
        raise explain(error, path, model, prefix=name) from None


def _check_conditions(space: Space, path: Path) -> None:
    """Conditions refer to other parameters and form no cycle, and each can both hold and fail."""
    for name, p in space.parameters.items():
        for other, condition in p.when.items():
            where = f"{path}: {name}.when.{other}"
            if other in RENAMED:
                raise unknown_parameter(where, other)
            if other not in Recipe.model_fields or other == name:
                allowed = ", ".join(n for n in Recipe.model_fields if n != name)
                raise ConfigError(f"{where}: not another parameter; allowed: {allowed}")
            if name in REQUIRED:
                raise ConfigError(f"{path}: {name}.when: {name} cannot be switched off")
            found = space.parameters.get(other)
            if found is None:
                value = _value(space.fixed, other)
                how = "the study's" if value is None else f"fixed at {shown(value)}"
                raise ConfigError(f"{where}: {other} is {how}; drop the condition")
            held = {condition.holds(value) for value in _looked_at(found, other, condition)}
            if len(held) == 1:
                how = "always" if held == {True} else "never"
                raise ConfigError(
                    f"{where}: the condition {how} holds for {other} {found.text()}; "
                    "drop or change it"
                )
    space.in_order()


def _looked_at(parameter: Parameter, name: str, condition: Condition) -> list[Value]:
    """Values on either side of the thresholds of a condition on `name`, with its default where it
    can be switched off itself."""
    off: list[Value] = [default_of(name)] if parameter.when else []
    return values_of(parameter, [condition]) + off


def _check_ends(space: Space, path: Path) -> None:
    """Both ends of every range must make a valid recipe, so that no suggestion is rejected
    later."""
    for name, p in space.parameters.items():
        for end in p.choices if isinstance(p, Choices) else (p.low, p.high):
            _check_recipe(path, {**space.fixed, name: end})


def _check_recipe(path: Path, values: Mapping[str, Value]) -> None:
    try:
        Recipe.model_validate({"parallel_size": 1, **values})
    except ValidationError as error:
        found = error.errors()[0]
        raise ConfigError(
            f"{path}: {found['loc'][0]}: {found['msg']}, found {found['input']!r}"
        ) from None
