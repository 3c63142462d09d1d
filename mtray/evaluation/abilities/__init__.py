"""Abilities that fine-tuning may degrade: one file for each measure, one line in `ABILITIES`."""

from __future__ import annotations

from collections.abc import Callable

from mtray.errors import ConfigError
from mtray.evaluation.abilities import (
    choice,
    context,
    few_shot,
    formality,
    idioms,
    instructions,
    lm_eval,
    perplexity,
    summarisation,
    technical,
    translation,
)
from mtray.evaluation.abilities.base import Ability, Context
from mtray.schema import AbilitySpec

ABILITIES: dict[str, Callable[[AbilitySpec, Context], Ability]] = {
    "formality": formality.build,
    "translation": translation.build,
    "few_shot": few_shot.build,
    "instructions": instructions.build,
    "perplexity": perplexity.build,
    "choice": choice.build,
    "technical": technical.build,
    "lm_eval": lm_eval.build,
    "context": context.build,
    "idioms": idioms.build,
    "summarisation": summarisation.build,
}


def build_ability(spec: AbilitySpec, context: Context) -> Ability:
    """The ability that a study describes. Raises ConfigError for an unknown measure or option,
    DataError for an unusable file."""
    if spec.measure not in ABILITIES:
        raise ConfigError(
            f"ability {context.name!r}: unknown measure {spec.measure!r}; "
            f"allowed: {', '.join(ABILITIES)}"
        )
    if not spec.path and spec.measure != "lm_eval":
        raise ConfigError(f"ability {context.name!r}: measure {spec.measure} needs `path`")
    return ABILITIES[spec.measure](spec, context)
