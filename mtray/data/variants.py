"""How a recipe renders the rows of a source: their directions, noise, template, instructions and
shots.

A variant is one rendering of all rows of a source, with a token store of its own. Its store is that
of a study with the variant's settings as fixed values, so studies share it. A recipe takes each row
from one variant, chosen by the row's content (`mtray.data.row_draws`), so shares and rates are
continuous and need no store for each value. `template`, `instructions` and `shots` are the same for
all rows of a recipe.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from mtray.data.instructions import INSTRUCTIONS
from mtray.data.mixing import given_weights
from mtray.data.recipe_noise import ChosenNoise, chosen_noise, kind_of
from mtray.data.translation_prompts import CHAT, CHATS, POOLED, keeps_breaks
from mtray.errors import ConfigError
from mtray.schema import (
    Noise,
    Recipe,
    Source,
    Study,
    directions_of,
    own_directions,
    source_directions,
)

FEW_SHOT = "+few_shot"  # source names cannot contain a plus
CLEAN = "clean"


@dataclass(frozen=True)
class Variant:
    """One rendering of a source; whatever has its default is as in the study.

    - `direction`: of all rows.
    - `noise`: `clean`, or side and level of the source's noise that all rows have, such as
      `target-word`; the side is that in the direction from the first language into the second.
    - `template`, `instructions`: as in a recipe.
    - `few_shot`: whether pairs are preceded by shots.
    - `shots`: how many.
    """

    direction: str = ""
    noise: str = ""
    template: str = ""
    instructions: int = 0
    few_shot: bool = False
    shots: int = 0

    @property
    def suffix(self) -> str:
        """After a source's name: the name of the variant's store. Empty for the study's own."""
        known = [self.direction, self.noise, self.template]
        known += [f"instructions-{self.instructions}"] if self.instructions else []
        found = "".join(f"+{part}" for part in known if part)
        return found + FEW_SHOT * self.few_shot + (f"-{self.shots}" if self.shots else "")

    def of(self, source: Source) -> Source:
        """The source of a study in which all its rows are rendered like this."""
        update: dict[str, object] = {"noise": self._noise(source)}
        if self.direction:
            own = self.direction == directions_of(source)[0]
            update["directions"] = {} if own else {self.direction: 1.0}
        if self.shots:
            update["shots"] = (self.shots, self.shots)
        return source.model_copy(update=update)

    def _noise(self, source: Source) -> Noise | None:
        if not self.noise:
            return source.own_noise
        found = next((n for n in source.noises if kind_of(n) == self.noise), None)
        return found and found.model_copy(update={"rate": 1.0})


class Part(NamedTuple):
    """The rows of one direction with or without noise."""

    direction: str
    noisy: bool
    variant: Variant


@dataclass(frozen=True)
class Rendering:
    """How a recipe renders one source.

    - `parts`: each row belongs to one of them.
    - `clean`: of each part, the variant without noise, with which noisy rows are compared.
    - `directions`: the share of each direction, up to a common factor.
    - `rate`: the share of noisy rows.
    - `shown`: of each part, the variant of its few-shot rows.
    - `joins`: whether texts are joined to one line although the study's template keeps line breaks,
      or the reverse.
    - `counts_directions`, `counts_noise`: whether the record counts them.
    """

    source: str
    parts: tuple[Part, ...]
    clean: tuple[Variant, ...]
    directions: dict[str, float]
    rate: float
    shown: tuple[Variant, ...]
    joins: bool = False
    counts_directions: bool = False
    counts_noise: bool = False

    @property
    def needs_draws(self) -> bool:
        """Whether rows are taken from several variants, here or at another rate of noise."""
        return len(self.directions) > 1 or self.rate > 0

    @property
    def variants(self) -> tuple[Variant, ...]:
        found = (*(part.variant for part in self.parts), *self.clean)
        return tuple(dict.fromkeys(found))


def takes_shots(source: Source) -> bool:
    """Whether shots can precede the source's examples: pairs without `context` and `documents`."""
    return source.kind == "parallel" and not source.context and not source.documents


def rendering_of(recipe: Recipe, source: Source, study: Study) -> Rendering | None:
    """How a recipe renders a source; None: as the study does, in every respect but few-shot rows.
    Raises ConfigError if the source cannot be rendered in this way."""
    base = _written(recipe, source, study)
    if source.kind != "parallel":
        alone = Part("", False, base)
        return None if base == Variant() else _plain(source, alone)
    weighted = given_weights(recipe, study.sources)
    shares = source_directions(recipe, source, weighted)
    noises = chosen_noise(recipe, source, list(shares))
    shots = _shots(recipe, source)
    if not recipe.directions and noises is None and base == Variant() and not shots:
        return None
    if not shares:  # the source is left out
        return _plain(source, Part("", False, base))
    return _divided(recipe, source, study, shares, noises, base)


def _plain(source: Source, part: Part) -> Rendering:
    return Rendering(source.name, (part,), (part.variant,), {part.direction: 1.0}, 0.0, ())


def _written(recipe: Recipe, source: Source, study: Study) -> Variant:
    """The variant with the recipe's template and instructions, as far as they change anything for
    the source."""
    template = recipe.template or study.template
    if source.kind == "mono":
        return Variant()
    if source.kind != "parallel":  # a prompt is a user's turn or is not
        if (template in CHATS) == (study.template in CHATS):
            return Variant()
        return Variant(template=CHAT if template in CHATS else "labels")
    count = recipe.instructions or len(INSTRUCTIONS)
    few = template in POOLED and count < len(INSTRUCTIONS)
    return Variant(
        template="" if template == study.template else template, instructions=count * few
    )


def _divided(
    recipe: Recipe,
    source: Source,
    study: Study,
    shares: dict[str, float],
    noises: ChosenNoise | None,
    base: Variant,
) -> Rendering:
    """A parallel source of which every row has a direction and is noisy or not."""
    explicit = bool(recipe.directions) or (noises is not None and len(shares) > 1)
    own = list(own_directions(source))
    if not explicit:  # by the source's own directions
        shares = {own[0] if len(own) == 1 else "": 1.0}
    if len(shares) > 1 and source.documents:
        raise ConfigError(
            f"source {source.name!r} joins the rows of a document (`documents`), which depends on "
            f"the direction, so a recipe cannot divide it between {' and '.join(shares)}; set one "
            "of the two to 0, or drop `documents`"
        )
    rate = 0.0 if noises is None else noises.rate
    noisy_itself = source.own_noise is not None and source.own_noise.rate > 0
    parts, clean, shown = [], [], []
    for direction in shares:
        named = replace(base, direction="" if own == [direction] else direction)
        without = replace(named, noise=CLEAN if noisy_itself else "")
        noise = noises.kinds.get(direction) if noises else None
        for noisy in (False, True) if noises is not None else (False,):
            if noisy and (noise is None or not rate):
                continue
            if not noisy and noise is not None and rate == 1:
                continue
            variant = named if noises is None else without
            variant = replace(without, noise=noise or "") if noisy else variant
            parts.append(Part(direction, noisy, variant))
            clean.append(variant if noises is None else without)
            shown.append(named if noises is not None and noises.own else variant)
    return Rendering(
        source.name,
        tuple(parts),
        tuple(clean),
        shares,
        rate,
        tuple(replace(v, few_shot=True, shots=_shots(recipe, source)) for v in shown),
        _joins(recipe, study),
        bool(recipe.directions),
        noises is not None,
    )


def _shots(recipe: Recipe, source: Source) -> int:
    """The recipe's number of shots; 0 where it gives none, or the source's own."""
    return 0 if recipe.shots is None or source.shots == (recipe.shots,) * 2 else recipe.shots


def _joins(recipe: Recipe, study: Study) -> bool:
    template = recipe.template or study.template
    return keeps_breaks(template, study.paragraphs) != keeps_breaks(
        study.template, study.paragraphs
    )


def few_shot_variants(
    recipe: Recipe, source: Source, rendering: Rendering | None
) -> tuple[Variant, ...]:
    """The variants of the source's few-shot rows, of each part of its rendering by the recipe; none
    where it cannot be shown after shots, or no row is."""
    if not recipe.few_shot_share or not takes_shots(source):
        return ()
    return (Variant(few_shot=True),) if rendering is None else rendering.shown


def all_variants(
    recipes: Iterable[Recipe], source: Source, study: Study
) -> tuple[dict[Variant, None], dict[bool, None]]:
    """All variants of a source that some recipes draw from, the study's own first, and for which
    joining of lines the draws of its rows are needed. Raises ConfigError like `rendering_of`."""
    found: dict[Variant, None] = {Variant(): None}
    draws: dict[bool, None] = {}
    for recipe in recipes:
        rendering = rendering_of(recipe, source, study)
        if rendering is not None:
            found |= dict.fromkeys(rendering.variants)
            if rendering.needs_draws:
                draws[rendering.joins] = None
        found |= dict.fromkeys(few_shot_variants(recipe, source, rendering))
    return found, draws
