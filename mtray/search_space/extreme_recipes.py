"""The recipes at the extremes of a space, with its conditions: whatever is monotone in the
parameters has its maximum and minimum over the space at one of them."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from itertools import product

from mtray.schema import RENDERING_PARAMETERS, Recipe
from mtray.search_space.parameters import Choices, IntRange, Share, Value, values_of
from mtray.search_space.space import Space


def rendering_recipes(space: Space) -> list[Recipe]:
    """Recipes of the space that have every rendering which any of its recipes has: every value of
    a categorical or whole parameter, both ends of shares and rates, and all directions that are
    searched."""
    names = [name for name in RENDERING_PARAMETERS if name in space.parameters]
    names.append("parallel_size")  # without pairs there are no directions
    return extreme_recipes(space, *names, every=("template", "instructions", "shots"))


def extreme_recipes(space: Space, *names: str, every: Sequence[str] = ()) -> list[Recipe]:
    """Recipes of the space that bound every other one in the parameters `names`.

    For every recipe of the space and every choice of an end (minimum or maximum) for each number
    among `names`, one of these has the same categories in `names` and is at least as far towards
    that end in every number. So a function that is monotone in each of the numbers has its maximum
    and minimum over the space among them.

    Whether a parameter is on depends on conditions, which compare another parameter with a
    threshold. Every part of a range between thresholds therefore has its own two ends here. An end
    cut off by a threshold is the last value before it.

    Of the parameters in `every` all values are there, not only the ends.

    Searched weights of sources cannot all be at an end. With one of a kind among `names`, each
    source of that kind has all of it in one recipe, which is the most that it can have.
    """
    needed = _with_what_they_depend_on(space, names)
    options: list[list[dict[str, Value]]] = [
        [
            {name: value}
            for value in (
                _options(space, name, name in names, name in every)
                if name in needed
                else values_of(p)[:1]
            )
        ]
        for name, p in space.parameters.items()
        if not isinstance(p, Share)
    ]
    for group, whole in space.groups.values():
        corners: list[dict[str, Value]] = [{n: whole * (n == m) for n in group} for m in group]
        alike: dict[str, Value] = dict.fromkeys(group, whole / len(group))
        options.append(corners if set(group) & set(names) else [alike])
    combined = (dict(ChainMap(*values)) for values in product(*options))
    return list(dict.fromkeys(map(space.recipe, combined)))


def _with_what_they_depend_on(space: Space, names: Sequence[str]) -> set[str]:
    found, new = set[str](), set(names)
    while new:
        found |= new
        varied = [space.parameters[name] for name in new if name in space.parameters]
        new = {other for parameter in varied for other in parameter.when} - found
    return found


def _options(space: Space, name: str, ends: bool, every: bool = False) -> list[Value]:
    """With `every`, all values. Else, for every part of a parameter's range in which each condition
    on it has the same result: one value or, with `ends`, its categories, its minimum and its
    maximum."""
    parameter = space.parameters[name]
    if every and isinstance(parameter, Choices):
        return list(parameter.choices)
    if every and isinstance(parameter, IntRange):
        return list(range(parameter.low, parameter.high + 1, parameter.step))
    conditions = [p.when[name] for p in space.parameters.values() if name in p.when]
    parts: dict[tuple[bool, ...], list[Value]] = {}
    for value in values_of(parameter, conditions):
        parts.setdefault(tuple(c.holds(value) for c in conditions), []).append(value)
    found: list[Value] = []
    for part in parts.values():
        numbers = [v for v in part if not isinstance(v, str)]
        words = [v for v in part if isinstance(v, str)]
        outer: list[Value] = [*words, *({min(numbers), max(numbers)} if numbers else ())]
        found += outer if ends else outer[:1]
    return found
