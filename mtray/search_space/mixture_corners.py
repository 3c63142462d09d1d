"""The corners of a space of mixtures, and every recipe of it as a weighted mean of them.

A corner has all of a kind's searched weight on one source, and each searched ratio at one of its
ends. A recipe's shares of the corners are products: of its weights, and of its relative positions
between the ends of `mono_ratio` and of the odds f / (1 - f) of `replay_fraction`, which are the
number of replay examples for each other one. The mean of the corners' mixes with these shares has
as many examples of every source as the recipe's own mix, before rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from mtray.errors import ConfigError
from mtray.schema import Recipe
from mtray.search_space.parameters import Share, Value
from mtray.search_space.simplex import ROUNDING
from mtray.search_space.space import Space

RATIOS = ("mono_ratio", "replay_fraction")
Part = tuple[dict[str, Value], float]  # values of some parameters, and their share


def check_mixtures_only(space: Space) -> None:
    """ConfigError where the space searches anything but weights of sources, `mono_ratio` and
    `replay_fraction`: weights of models can be averaged over mixtures, not over learning rates."""
    for name, p in space.parameters.items():
        allowed = f"weight.SOURCE, {' and '.join(RATIOS)} without conditions"
        if p.when or not (isinstance(p, Share) or (name in RATIOS and p.type == "float")):
            why = "has a condition" if p.when else "is searched"
            raise ConfigError(
                f"{name} {why}, and merged models can only stand for mixtures of sources; allowed: "
                f"{allowed}; fix {name} at one value, as in search_spaces/weights.yaml"
            )


def corners(space: Space) -> tuple[Recipe, ...]:
    """The corners of a space, each once. Raises ConfigError (`check_mixtures_only`)."""
    check_mixtures_only(space)
    names = [name for name in RATIOS if name in space.parameters]
    options: list[list[dict[str, Value]]] = [
        [{name: end} for end in dict.fromkeys(space.values(name))] for name in names
    ]
    options += [[dict(values) for values in _pure(*group)] for group in space.groups.values()]
    return tuple(dict.fromkeys(space.recipe(_joined(found)) for found in product(*options)))


def corner_shares(space: Space, recipe: Recipe) -> dict[Recipe, float] | None:
    """The recipe's shares of the corners, those above 0; they sum to 1. None for a recipe that is
    not in the space. Raises ConfigError (`check_mixtures_only`)."""
    check_mixtures_only(space)
    if not _has(space, recipe):
        return None
    parts = [_between(space, name, recipe) for name in RATIOS if name in space.parameters]
    for names, whole in space.groups.values():
        # a kind of which the recipe has nothing gives no weights, and any will do
        weights = [recipe.value(name) for name in names]
        given = [whole / len(names) if weight is None else weight for weight in weights]
        pure = _pure(names, whole)
        total = sum(given)  # the whole, up to a rounding that `_has` allows each weight
        parts.append([(one, w / total) for one, w in zip(pure, given, strict=True)])
    found: dict[Recipe, float] = {}
    for combined in product(*parts):
        share = 1.0
        for _, part in combined:
            share *= part
        if share > 0:
            corner = space.recipe(_joined([values for values, _ in combined]))
            found[corner] = found.get(corner, 0.0) + share
    return found


def _has(space: Space, recipe: Recipe) -> bool:
    """Whether it differs from the space's recipe with the same parameters by rounding at most."""
    for name in RATIOS:
        ends = [float(value) for value in space.values(name)]
        if ends and not min(ends) <= recipe.value(name) <= max(ends):
            return False
    found = space.recipe(space.params(recipe)).model_dump()
    own = recipe.model_dump()
    return found.keys() == own.keys() and all(_same(value, own[n]) for n, value in found.items())


def _same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float | int):
        return abs(one - other) <= ROUNDING
    return one == other


def _between(space: Space, name: str, recipe: Recipe) -> list[Part]:
    """The two ends of a ratio, with the shares of the recipe's value."""
    low, high = (float(value) for value in space.values(name))
    if low == high:
        return [({name: low}, 1.0)]
    amount = (lambda f: f / (1 - f)) if name == "replay_fraction" else float
    place = (amount(recipe.value(name)) - amount(low)) / (amount(high) - amount(low))
    return [({name: low}, 1 - place), ({name: high}, place)]


def _pure(names: Sequence[str], whole: float) -> list[dict[str, Value]]:
    """Every source of a group alone."""
    return [{n: whole * (n == alone) for n in names} for alone in names]


def _joined(parts: Sequence[dict[str, Value]]) -> dict[str, Value]:
    return {name: value for part in parts for name, value in part.items()}
