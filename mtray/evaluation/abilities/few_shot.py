"""Ability: infer the task from examples alone (`source -> target` lines, without an instruction).
Unit: chrF."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Annotated, TypeVar

from pydantic import Field

from mtray.data.evaluation_texts import shot_places
from mtray.data.readers.paragraphs import one_line
from mtray.data.templates import few_shot_prompt
from mtray.errors import DataError
from mtray.evaluation.abilities.base import (
    Context,
    languages_of,
    options_of,
    read_rows,
    sampled_rows,
)
from mtray.evaluation.abilities.translation import Translation, build_translation
from mtray.schema import AbilitySpec, Direction, Frozen

Pair = tuple[str, str]
Texts = TypeVar("Texts", bound=tuple[str, ...])


def choose_shots(query: Texts, pool: Sequence[Texts], count: int) -> list[Texts]:
    """`count` tuples of texts from the pool, such as sentence pairs, that share no text with the
    query or with each other. They depend on the query's content alone.

    Every model therefore gets the same prompt for the same query, whatever else is evaluated.
    Raises DataError if the pool has too few other pairs.
    """
    digest = hashlib.sha256("\t".join(query).encode()).digest()
    order = random.Random(int.from_bytes(digest[:8], "big"))
    used = {side.casefold() for side in query}
    chosen: list[Texts] = []
    # of a large pool, about twice as many as wanted are enough; a full shuffle for each query is
    # slow
    for pair in order.sample(pool, min(len(pool), 2 * count + 50)):
        sides = {side.casefold() for side in pair}
        if not sides & used:
            chosen.append(pair)
            used |= sides
        if len(chosen) == count:
            return chosen
    raise DataError(f"the file of shots has too few pairs besides {query[0][:60]!r}: {len(pool)}")


class Options(Frozen):
    direction: Direction
    shots: Annotated[int, Field(ge=1, le=50)] = 3
    shots_path: str | dict[str, str]


def build(spec: AbilitySpec, context: Context) -> Translation:
    """Options: `direction`, `shots`, `shots_path` (a file like `path` with other sentences)."""
    options = options_of(context.name, spec, Options)
    roles = list(languages_of(options.direction))
    pairs = _pairs(sampled_rows(spec, context, roles), roles)
    rows = read_rows(spec, roles, options.shots_path)
    places = shot_places(len(rows), spec.take, context.sample_seed)
    pool = _pairs([rows[i] for i in places], roles)
    prompts = [few_shot_prompt(choose_shots(pair, pool, options.shots), pair[0]) for pair in pairs]
    return build_translation(context, prompts, pairs)


def _pairs(rows: Sequence[dict[str, str]], roles: Sequence[str]) -> list[Pair]:
    """On one line each, whatever the study's template: the next example begins on a new one."""
    return [(one_line(row[roles[0]]), one_line(row[roles[1]])) for row in rows]
