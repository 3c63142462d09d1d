"""The recipes that a study gives (`budget.recipes`), as points of its space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from mtray.errors import ConfigError
from mtray.schema import SIZE_OF, Recipe, is_parameter
from mtray.search_space.parameters import Share, holds, shown
from mtray.search_space.space import Space, unknown_parameter

Given = Mapping[str, Any]
NEAR = 1e-3  # up to which shares that are written by hand, such as .333, are a whole


def given_points(space: Space, recipes: Sequence[Given]) -> list[dict[str, Any]]:
    """The searched parameters of every given recipe. Raises ConfigError for one that the space does
    not contain."""
    return [_point(space, given, f"`budget.recipes` {n}") for n, given in enumerate(recipes, 1)]


def _point(space: Space, given: Given, where: str) -> dict[str, Any]:
    _check_names(space, given, where)
    _check_shares(space, given, where)
    given = _with_zeros(space, given)
    try:
        recipe = Recipe.model_validate({"parallel_size": 0, **space.fixed, **given})
    except ValidationError as error:
        found = error.errors()[0]
        raise ConfigError(
            f"{where}: {found['loc'][0]}: {found['msg']}, found {found['input']!r}"
        ) from None
    for name, parameter in space.parameters.items():
        # shares of a kind of which there is nothing have no meaning
        of_some = isinstance(parameter, Share) and recipe.value(SIZE_OF[parameter.pool])
        if of_some and recipe.value(name) is None:
            _refuse(space, given, where, name, None)
    params = space.params(recipe)
    off = space.switched_off(params)
    for name, distribution in space.distributions().items():
        if name not in off and not holds(distribution, params[name]):
            _refuse(space, given, where, name, params[name])
    return params


def _with_zeros(space: Space, given: Given) -> Given:
    """If some shares of a group (weights or directions) are given, the others are 0."""
    groups = [names for names, _ in space.groups.values() if {*names} & {*given}]
    return {**{name: 0.0 for names in groups for name in names}, **given}


def _check_shares(space: Space, given: Given, where: str) -> None:
    """ConfigError where shares of a whole are all 0, or are some of them and not all of it."""
    for names, whole in space.groups.values():
        known = {name: given[name] for name in names if name in given}
        if not known or any(not isinstance(value, int | float) for value in known.values()):
            continue
        total, said = sum(known.values()), ", ".join(f"{n} {shown(v)}" for n, v in known.items())
        if not total:
            raise ConfigError(f"{where}: {said}: all are 0; one must be above 0")
        if len(known) < len(names) and abs(total - whole) > NEAR:
            others = ", ".join(name for name in names if name not in known)
            raise ConfigError(
                f"{where}: {said}: together {shown(total)}, and those that are not given are 0 "
                f"({others}), so they must be {shown(whole)}; or give the others as well"
            )


def _check_names(space: Space, given: Given, where: str) -> None:
    for name, value in given.items():
        if not is_parameter(name):
            raise unknown_parameter(where, name)
        if name not in space.parameters and space.fixed.get(name) != value:
            how = f"is fixed at {shown(space.fixed[name])}" if name in space.fixed else "is not"
            raise ConfigError(
                f"{where}: {name} is {shown(value)}, but it {how} in the space; searched are "
                f"{', '.join(space.parameters)}"
            )


def _refuse(space: Space, given: Given, where: str, name: str, value: Any) -> None:
    text = space.parameters[name].text()
    if name not in given:
        raise ConfigError(f"{where}: {name} is missing; the space has {text}")
    raise ConfigError(f"{where}: {name} is {shown(value)}; the space has {text}")
