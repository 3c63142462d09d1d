"""A recipe of an earlier run as a new run would write it: values that the study set there and the
space sets here are written into the recipe, and vice versa."""

from __future__ import annotations

from typing import Any

from mtray.data.mixing import plan, weighted
from mtray.errors import ConfigError
from mtray.schema import (
    SIZE_OF,
    TRAINING_PARAMETERS,
    WEIGHT,
    Recipe,
    Source,
    Study,
    default_of,
    training_of,
)
from mtray.search.ledger.earlier_renderings import (
    directions_here,
    renderings_here,
    renders_otherwise,
)
from mtray.search_space.simplex import ROUNDING, on_simplex
from mtray.search_space.space import Space

Shares = dict[str, float]  # a source's part of its kind, by its name


def recipe_here(recipe: Recipe, there: Study, here: Study, space: Space) -> Recipe:
    """A recipe of the study `there` in the terms of this study and space. It gives the same
    training, as far as the sources of this study allow (`mtray.search.ledger.warm_start` compares
    the mixes)."""
    given = {*space.parameters, *space.fixed}
    used = training_of(recipe, there.training)
    values: dict[str, Any] = {}
    for name in TRAINING_PARAMETERS:
        value = getattr(used, name)
        alike = name not in given and value == getattr(here.training, name)
        values[name] = None if alike else value
    values |= renderings_here(recipe, there, here, space)
    return recipe.with_values(values | _weights(recipe, there, here, space))


def set_by_recipes(key: str, space: Space) -> bool:
    """Whether a key of a study, such as `study.training.epochs`, is without effect here, since
    every recipe of the space has its own value. Not `max_length`, up to which sources are
    tokenised."""
    name = key.removeprefix("study.training.")
    if name == "max_length":
        return False
    return name in TRAINING_PARAMETERS and name in {*space.parameters, *space.fixed}


def mix_difference(recipe: Recipe, before: Study, now: Study, space: Space) -> str | None:
    """Why a recipe gives another mix under the other study; None if every source gives the same. A
    source that only one of them has must give nothing in the other."""
    as_here = recipe_here(recipe, before, now, space)
    if before.sources == now.sources and as_here.model_extra == recipe.model_extra:
        return None
    there, here = {s.name: s for s in before.sources}, {s.name: s for s in now.sources}
    try:
        was, now_is = (
            {part.source: part.count for part in plan(written, study.sources)}
            for written, study in ((recipe, before), (as_here, now))
        )
    except ConfigError as error:
        return str(error)
    for name in dict.fromkeys([*there, *here]):
        gave, gives = was.get(name, 0), now_is.get(name, 0)
        if gave != gives:
            return (
                f"source {name} gave {gave:,} examples there and gives {gives:,} here, by the "
                f"sources' weights (source_weights {recipe.source_weights})"
            )
        if gave and _rows(there[name]) != _rows(here[name]):
            return f"source {name}, of which it was trained on {gave:,} examples, differs here"
        if gave and renders_otherwise(name, (recipe, before), (as_here, now)):
            return f"source {name} has other directions or noise here"
    return None


def _rows(source: Source) -> dict[str, Any]:
    """The fields that decide the examples of a source, without those that decide how many are
    drawn."""
    decided = {"directions", "noise"}  # by its recipe: `renders_otherwise`
    return source.model_dump(exclude={"weight", "max_repeats", "licence", *decided})


def _weights(recipe: Recipe, there: Study, here: Study, space: Space) -> dict[str, Any]:
    """The weights of the sources, and `source_weights`: those that the space searches, of kinds
    that the recipe has, are the parts that it has of them; others are as fixed. Where that is
    another mix, `mix_difference` says so."""
    was = _shares(recipe, there)
    groups = {p: group for p, group in space.groups.items() if recipe.value(SIZE_OF[p]) > 0}
    searched = {name for names, _ in groups.values() for name in names}
    values: dict[str, Any] = {f"{WEIGHT}{name}": None for name in recipe.weights}
    for source in here.sources:
        name = f"{WEIGHT}{source.name}"
        values[name] = was.get(source.name, 0.0) if name in searched else space.fixed.get(name)
    values |= directions_here(recipe, there, here, space)
    values = on_simplex(values, groups)
    if "source_weights" not in space.parameters and _without_effect(recipe, here, space):
        values["source_weights"] = space.fixed.get("source_weights", default_of("source_weights"))
    return values


def _without_effect(recipe: Recipe, here: Study, space: Space) -> bool:
    """Whether `source_weights` divides no kind that a recipe has: each has one source, or a weight
    in the space for every source."""
    given = {*space.parameters, *space.fixed}
    pools = [source.pool for source in here.sources if recipe.value(SIZE_OF[source.pool]) > 0]
    return all(
        f"{WEIGHT}{source.name}" in given for source in here.sources if pools.count(source.pool) > 1
    )


def _shares(recipe: Recipe, study: Study) -> Shares:
    """Every source's part of its kind; weights that sum to 1 are parts as they are."""
    given: list[tuple[Source, float]] = weighted(recipe, study.sources)
    totals: dict[str, float] = {}
    for source, weight in given:
        totals[source.pool] = totals.get(source.pool, 0.0) + weight
    wholes = {pool: 1.0 if abs(total - 1) <= ROUNDING else total for pool, total in totals.items()}
    return {s.name: w / wholes[s.pool] if w else 0.0 for s, w in given}
