"""Which noise a recipe gives a source: `noise_rate`, `noise_side` and `noise_level` choose from
what the source declares.

A recipe's side refers to the direction of each example, so with several directions noise is on the
target, or on the source, of all examples. A source declares sides in the order of its languages:
the target of its first direction is the source of the other one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mtray.errors import ConfigError
from mtray.schema import Noise, Recipe, Source, directions_of


@dataclass(frozen=True)
class ChosenNoise:
    """The noise that a recipe gives a source; `rate` is 0 if the source has no such noise.

    - `rate`: the share of noisy rows.
    - `kinds`: by direction, `kind_of` its noise; directions without noise are left out.
    - `own`: whether it is exactly the source's own.
    """

    rate: float
    kinds: dict[str, str]
    own: bool


def chosen_noise(recipe: Recipe, source: Source, directions: Sequence[str]) -> ChosenNoise | None:
    """The noise of a recipe for a source in these directions; None: the source's own. Raises
    ConfigError if the choice is ambiguous or impossible."""
    own, first = source.own_noise, directions_of(source)[0]
    given = (recipe.noise_rate, recipe.noise_side, recipe.noise_level) != (None, None, None)
    if not source.noises or not (given or (own and set(directions) - {first})):
        return None
    rate = recipe.noise_rate if recipe.noise_rate is not None else own.rate if own else 0.0
    if not rate:  # whichever noise it would be
        return ChosenNoise(0.0, {}, False)
    kind = _only_kind(recipe, source, directions)
    kinds = {
        d: kind_of(n) for d in directions for n in source.noises if _seen(source, n, d) == kind
    }
    if kinds and (source.context or source.documents):
        key = "context" if source.context else "documents"
        raise ConfigError(
            f"source {source.name!r} joins rows (`{key}`), so a recipe cannot choose which of them "
            f"are noisy; drop `{key}` or its `noise`, or noise_rate from the recipe"
        )
    is_own = own is not None and kinds == {first: kind_of(own)} and rate == own.rate
    return ChosenNoise(rate if kinds else 0.0, kinds, is_own)


def _only_kind(recipe: Recipe, source: Source, directions: Sequence[str]) -> tuple[str, str] | None:
    """The side and level that the recipe asks for; what it leaves open is that of the source's own
    noise, or of its only one. None: the source has no such noise. ConfigError: it has several."""
    for direction in sorted(directions, key=lambda d: d != directions_of(source)[0]):
        found = [
            (side, level)
            for side, level in (_seen(source, noise, direction) for noise in source.noises)
            if recipe.noise_side in (None, side) and recipe.noise_level in (None, level)
        ]
        own = source.own_noise and _seen(source, source.own_noise, direction)
        if own in found:
            return own
        if len(found) > 1:
            name = "noise_side" if len({side for side, _ in found}) > 1 else "noise_level"
            known = " and ".join(f"{side} by {level}" for side, level in found)
            raise ConfigError(
                f"source {source.name!r} has noise on {known} of {direction}, and the recipe does "
                f"not say which; add `{name}` to the space, or a `rate` above 0 to one of them"
            )
        if found:
            return found[0]
    return None


def _seen(source: Source, noise: Noise, direction: str) -> tuple[str, str]:
    """Side and level of a noise in a direction: what is the target in one is the source in the
    other."""
    turned = {"source": "target", "target": "source"}
    same = direction == directions_of(source)[0]
    return noise.side if same else turned[noise.side], noise.level


def kind_of(noise: Noise) -> str:
    return f"{noise.side}-{noise.level}"
