"""Upper bounds on what any recipe of a space draws from the sources, known before any is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from mtray.data.mixing import Sums, examples_for, plan, tokens_of
from mtray.data.recipe_tables import held_rows, recipe_tables
from mtray.data.store import sums_of
from mtray.data.tables import Table
from mtray.errors import DataError
from mtray.schema import RENDERING_PARAMETERS, Recipe, Source, Study, default_of
from mtray.search_space.extreme_recipes import extreme_recipes
from mtray.search_space.parameters import Share, shown
from mtray.search_space.space import Space

RENDERINGS = tuple(name for name in RENDERING_PARAMETERS if name != "few_shot_share")
# what the `plan` of a recipe depends on: examples of every source rise with each of the numbers
SIZES = ("parallel_size", "mono_ratio", "replay_fraction", "few_shot_share", "source_weights")


def largest_recipes(space: Space, tokens: bool = False) -> tuple[Recipe, ...]:
    """Recipes such that for every recipe of the space and every source one of them requests at
    least as much of it. A single one, unless a condition switches a size off at the maximum of
    another, or the weights of sources or shares of directions are searched. `tokens`: where ratios
    count tokens, of which other renderings have more or fewer."""
    shares = [name for name, p in space.parameters.items() if isinstance(p, Share)]
    names = [*SIZES, "max_length", *shares, *(RENDERINGS if tokens else ())]
    found = {
        _sizes(recipe, tokens): recipe
        for recipe in extreme_recipes(space, *names, every=RENDERINGS if tokens else ())
    }
    return tuple(
        recipe
        for sizes, recipe in found.items()
        if not any(_within(sizes, other) for other in found if other != sizes)
    )


def counts_tokens(study: Study) -> bool:
    return study.mixing.count == "tokens"


def _sizes(recipe: Recipe, tokens: bool) -> tuple[float | str, ...]:
    # as text, since more of one weight is less of another
    shares = ", ".join(f"{name} {shown(w)}" for name, w in (recipe.model_extra or {}).items())
    rendered = ", ".join(str(getattr(recipe, name)) for name in RENDERINGS) if tokens else ""
    # a lower limit leaves fewer examples; None is the study's, which no recipe exceeds
    limit = -(recipe.max_length or math.inf)
    return *(getattr(recipe, name) for name in SIZES), limit, shares, rendered


def _within(sizes: Sequence[float | str], other: Sequence[float | str]) -> bool:
    """Whether all numbers are at most the other's and all strings are equal, or empty: then the
    recipe has nothing of what the other one divides."""
    return all(
        a in ("", b) or not (isinstance(a, str) or isinstance(b, str) or a > b)
        for a, b in zip(sizes, other, strict=True)
    )


def most_requested(
    recipes: Iterable[Recipe], study: Study, store: Mapping[str, Table] | None = None
) -> dict[str, int]:
    """Number of examples of each source that is enough for all of `recipes` and for every smaller
    recipe. `store`: in a study that counts tokens."""
    most: dict[str, int] = {}
    for recipe in recipes:
        sums = None if store is None else sums_of(study, recipe_tables(recipe, store, study))
        for name, count in at_most(recipe, study.sources, sums).items():
            most[name] = max(most.get(name, 0), count)
    return most


def at_most(recipe: Recipe, sources: Sequence[Source], sums: Sums | None = None) -> dict[str, int]:
    """Number of examples of each source that is enough for a recipe and for every smaller one,
    however these are rounded."""
    parts = plan(recipe, sources, sums)
    if sums is None:
        return {part.source: math.ceil(part.requested) for part in parts}
    pairs = [part for part in parts if part.kind == "parallel"]
    tokens = sum(tokens_of(sums[p.source], p.count) for p in pairs)
    most = sum(tokens_of(sums[p.source], math.ceil(p.requested)) for p in pairs)
    found = {}
    for part in parts:
        asked = part.requested
        if part.requested_tokens is not None and part.kind != "parallel":
            asked = examples_for(sums[part.source], part.requested_tokens * most / max(1, tokens))
        found[part.source] = math.ceil(asked)
    return found


def check_source_sizes(recipes: Iterable[Recipe], study: Study, store: Mapping[str, Table]) -> None:
    """Raise DataError if one of `recipes`, the largest of a space, draws more of a source than it
    has.

    This uses the recipes' own plans and not `most_requested`: rounding may keep every recipe one
    example below that bound, and a study whose recipes can all be drawn must not be refused.
    """
    if study.training.allow_repeats:
        return
    for recipe in recipes:
        tables = recipe_tables(recipe, store, study)
        least = held_rows(store, [recipe.max_length])
        for part in plan(recipe, study.sources, sums_of(study, tables)):
            held = min(len(tables[part.source]), least[part.source])
            if part.count > held:
                raise DataError(
                    f"source {part.source!r} holds {held:,} examples and the largest recipe "
                    f"({recipe_sizes(recipe)}) asks for {part.count:,}; lower the search range or "
                    "set `training: {allow_repeats: true}`"
                )


def recipe_sizes(recipe: Recipe) -> str:
    """The parameters that decide how much a recipe draws, such as `parallel_size 4096, mono_ratio
    1`."""
    found = {name: recipe.value(name) for name in (*SIZES, "max_length")}
    found |= recipe.model_extra or {}
    return ", ".join(
        f"{name} {shown(value)}" for name, value in found.items() if value != default_of(name)
    )
