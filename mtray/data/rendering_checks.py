"""Checks that the sources of a study can be rendered as the recipes of a space ask for, before any
is tokenised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtray.data.few_shot import check_share
from mtray.data.instructions import INSTRUCTIONS
from mtray.data.mixing import given_weights
from mtray.data.recipe_noise import chosen_noise
from mtray.data.translation_prompts import POOLED, check_template
from mtray.data.variants import rendering_of
from mtray.errors import ConfigError
from mtray.schema import Recipe, Source, Study, source_directions


def check_renderings(recipes: Sequence[Recipe], study: Study, tokenizer: Any) -> None:
    """ConfigError naming a rendering that no source can give, or a parameter that changes nothing
    in any recipe."""
    check_share(max((r.few_shot_share for r in recipes), default=0.0), study.sources)
    for template in dict.fromkeys(r.template for r in recipes if r.template):
        check_template(template, tokenizer)
    _check_instructions(recipes, study)
    _check_used(recipes, study)
    for recipe in recipes:
        for source in study.sources:
            rendering_of(recipe, source, study)
        _check_noise(recipe, study)


def _check_instructions(recipes: Sequence[Recipe], study: Study) -> None:
    most = max((recipe.instructions or 0 for recipe in recipes), default=0)
    if most > len(INSTRUCTIONS):
        raise ConfigError(f"instructions goes up to {most}; the pool has {len(INSTRUCTIONS)}")


def _check_used(recipes: Sequence[Recipe], study: Study) -> None:
    """Parameters that some recipe gives and none uses."""
    pooled = any((recipe.template or study.template) in POOLED for recipe in recipes)
    shown = any(recipe.few_shot_share for recipe in recipes)
    noises = [noise for source in study.sources for noise in source.noises]
    rates = [recipe.noise_rate for recipe in recipes]
    noisy = any(rates) or (None in rates and any(noise.rate for noise in noises))
    needed = {
        "instructions": (
            pooled,
            f"the template {study.template!r} uses none; add `template: pool`",
        ),
        "shots": (shown, "no recipe has few-shot rows; add a line for `few_shot_share`"),
        "noise_side": (noisy, "no recipe has noise; add a line for `noise_rate`"),
        "noise_level": (noisy, "no recipe has noise; add a line for `noise_rate`"),
    }
    for name, (used, reason) in needed.items():
        if not used and any(recipe.value(name) is not None for recipe in recipes):
            raise ConfigError(f"{name} is set, but {reason}, or drop {name}")


def _check_noise(recipe: Recipe, study: Study) -> None:
    """ConfigError where a recipe asks for noise that no source has, or that a source has in one of
    its directions only."""
    if not recipe.noise_rate:
        return
    weighted = given_weights(recipe, study.sources)
    found = False
    for source in study.sources:
        shares = source_directions(recipe, source, weighted) if source.kind == "parallel" else {}
        noise = chosen_noise(recipe, source, list(shares)) if shares else None
        if noise is None or not noise.kinds:
            continue
        found = True
        if lacking := [direction for direction in shares if direction not in noise.kinds]:
            known = next(iter(noise.kinds))
            raise ConfigError(
                f"source {source.name!r} has the noise of the recipe in direction {known} and not "
                f"in {lacking[0]}; add it to the source's `noise` for the other `side` (its sides "
                f"are those of {known}), or set `direction.{lacking[0]}` to 0"
            )
    if not found:
        asked = [getattr(recipe, name) for name in ("noise_side", "noise_level")]
        what = " by ".join(word for word in asked if word) or "noise"
        raise ConfigError(
            f"noise_rate goes up to {recipe.noise_rate:g}, but no parallel source of the recipe "
            f"declares such noise ({what}); declared: {_declared(study.sources) or 'none'}; add "
            "`noise` to a source, or drop noise_rate"
        )


def _declared(sources: Sequence[Source]) -> str:
    return "; ".join(
        f"{source.name}: " + ", ".join(f"{n.side} by {n.level}" for n in source.noises)
        for source in sources
        if source.noises
    )
