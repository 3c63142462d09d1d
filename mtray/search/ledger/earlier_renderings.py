"""How a recipe of an earlier run renders its sources, as a new run would write it: a parameter that
only the new space has is set to the value of the earlier study."""

from __future__ import annotations

from typing import Any

from mtray.data.instructions import INSTRUCTIONS
from mtray.data.mixing import given_weights, weighted
from mtray.data.recipe_noise import chosen_noise
from mtray.schema import (
    DIRECTION,
    Recipe,
    Study,
    all_directions,
    rendering_of_study,
    source_directions,
)
from mtray.search_space.parameters import values_of
from mtray.search_space.simplex import ROUNDING
from mtray.search_space.space import Space

Rendered = tuple[dict[str, float], Any]  # the parts of a source's directions, and its noise


def renderings_here(recipe: Recipe, there: Study, here: Study, space: Space) -> dict[str, Any]:
    """Template, instructions, noise and shots of a recipe of the study `there`, written out where
    this space has them or this study differs."""
    known, now = (
        rendering_of_study(study) | {"instructions": len(INSTRUCTIONS)} for study in (there, here)
    )
    given = {*space.parameters, *space.fixed}
    used = {
        name: value if recipe.value(name) is None else recipe.value(name)
        for name, value in known.items()
    }
    unused = [] if recipe.few_shot_share else ["shots"]
    unused += [] if used["noise_rate"] != 0 else ["noise_side", "noise_level"]
    found = {
        name: None if name not in given and value == now[name] else value
        for name, value in used.items()
    }
    return found | {name: _any_value(name, space) for name in unused}


def _any_value(name: str, space: Space) -> Any:
    """A value of the space for a parameter that has no effect."""
    if name in space.parameters:
        return values_of(space.parameters[name])[0]
    return space.fixed.get(name)


def directions_here(recipe: Recipe, there: Study, here: Study, space: Space) -> dict[str, Any]:
    """The shares of directions that the space searches are those of the recipe; others are as
    fixed. Where that is another mix, `mix_difference` says so."""
    was = _direction_parts(recipe, there)
    values: dict[str, Any] = {f"{DIRECTION}{name}": None for name in recipe.directions}
    for direction in all_directions(here.sources):
        name = f"{DIRECTION}{direction}"
        searched = name in space.parameters
        values[name] = was.get(direction, 0.0) if searched else space.fixed.get(name)
    return values


def _direction_parts(recipe: Recipe, study: Study) -> dict[str, float]:
    """Every direction's part of all pairs, as the recipe's sources give them."""
    found: dict[str, float] = {}
    weights = given_weights(recipe, study.sources)
    for source, weight in weighted(recipe, study.sources):
        if source.kind == "parallel" and weight:
            shares = source_directions(recipe, source, weights)
            for direction, share in shares.items():
                part = weight * share / sum(shares.values())
                found[direction] = found.get(direction, 0.0) + part
    whole = sum(found.values())
    if abs(whole - 1) <= ROUNDING:
        return found
    return {direction: part / whole for direction, part in found.items()}


def renders_otherwise(name: str, was: tuple[Recipe, Study], now: tuple[Recipe, Study]) -> bool:
    """Whether a source's rows have other directions, or other noise, in the second of two recipes
    with their studies."""
    (shares, noise), (shares_now, noise_now) = _rendered(name, *was), _rendered(name, *now)
    apart = [abs(shares.get(d, 0) - shares_now.get(d, 0)) for d in {*shares, *shares_now}]
    return noise != noise_now or max(apart, default=0.0) > ROUNDING


def _rendered(name: str, recipe: Recipe, study: Study) -> Rendered:
    source = next(s for s in study.sources if s.name == name)
    if source.kind != "parallel":
        return {}, None
    shares = source_directions(recipe, source, given_weights(recipe, study.sources))
    whole = sum(shares.values())
    chosen = chosen_noise(recipe, source, list(shares))
    parts = {direction: share / whole for direction, share in shares.items()}
    if chosen is None:
        own = source.own_noise
        return parts, (own.rate, own.model_dump(exclude={"rate"})) if own and own.rate else None
    used = [
        noise.model_dump(exclude={"rate"})
        for noise in source.noises
        if f"{noise.side}-{noise.level}" in chosen.kinds.values()
    ]
    if not chosen.rate:
        return parts, None
    return parts, (chosen.rate, used[0] if len(used) == 1 else used)
