"""The tables that a recipe draws from: rendered as it says (`mtray.data.variants`), with its
few-shot examples (`few_shot_share`), and without the examples that are longer than its
`max_length`.

Sources are tokenised once, up to the study's `training.max_length`. A recipe's own limit leaves out
the longer ones of these examples and keeps the order of the rest, so trials differ by the examples
that are too long and by those that take their places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from typing import Any

import numpy as np

from mtray.data.few_shot import FewShotTable, few_shot_rows
from mtray.data.mixing import Index
from mtray.data.tables import Example, Origin, StoredTable, Table, TokenTable
from mtray.data.token_chunks import Hashes
from mtray.data.variant_tables import VariantTable, is_draws, rendered_table, shown_table
from mtray.data.variants import FEW_SHOT, few_shot_variants, rendering_of
from mtray.errors import ConfigError
from mtray.schema import Recipe, Source, Study


@dataclass(frozen=True)
class FittingTable:
    """The examples of a table with at most `limit` tokens, in their order."""

    whole: Table
    limit: int

    @cached_property
    def rows(self) -> Index:
        """Their rows in the whole table, shape (examples,)."""
        return np.flatnonzero(self.whole.lengths() <= self.limit)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def available(self) -> int:
        return len(self.rows)

    @property
    def dropped(self) -> int:
        return self.whole.dropped

    @property
    def origin(self) -> Origin:
        return self.whole.origin

    @property
    def key(self) -> str:
        return self.whole.key

    def lengths(self) -> Index:
        return self.whole.lengths()[self.rows]

    def hashes(self) -> Hashes:
        return self.whole.hashes()[self.rows]

    def within(self, row: int) -> tuple[Table, int]:
        """The table that an example is taken from, and its row there."""
        return self.whole, int(self.rows[row])

    def example(self, row: int) -> Example:
        table, inner = self.within(row)
        return table.example(inner)


def recipe_tables(recipe: Recipe, store: Mapping[str, Table], study: Study) -> Mapping[str, Table]:
    """The tables of a recipe by source; those of which everything fits are unchanged. ConfigError
    where the recipe has few-shot examples and no source was tokenised with shots, or a rendering
    that was not tokenised."""
    tables = rendered_tables(recipe, store, study)
    limit = recipe.max_length
    return tables if limit is None else {name: _fitting(t, limit) for name, t in tables.items()}


def rendered_tables(recipe: Recipe, store: Mapping[str, Table], study: Study) -> dict[str, Table]:
    """The tables of a recipe with all examples, however long."""
    tables = {s.name: _rendered(recipe, s, store, study) for s in study.sources if s.name in store}
    shown = any(isinstance(table, FewShotTable) for table in tables.values())
    if recipe.few_shot_share and not shown:
        raise ConfigError("`few_shot_share` is above 0, but no source was tokenised with shots")
    return tables


def _rendered(recipe: Recipe, source: Source, store: Mapping[str, Table], study: Study) -> Table:
    rendering = rendering_of(recipe, source, study)
    alone = store[source.name] if rendering is None else rendered_table(rendering, store)
    variants = few_shot_variants(recipe, source, rendering)
    if not variants:
        return alone
    if rendering is not None:
        shown: Table = shown_table(rendering, variants, store)
    elif (name := f"{source.name}{variants[0].suffix}") in store:
        shown = store[name]
    else:
        return alone
    return FewShotTable(source.name, alone, shown, recipe.few_shot_share)


def _fitting(table: Table, limit: int) -> Table:
    found = FittingTable(table, limit)
    return table if len(found) == len(table) else found


def whole_table(table: Table) -> Table:
    """The table with the examples that a recipe's `max_length` leaves out."""
    return table.whole if isinstance(table, FittingTable) else table


def realised_counts(table: Table, rows: Index) -> dict[str, Any]:
    """What is recorded of the drawn rows (`SourceShare`): how many are few-shot examples, noisy,
    and of each direction."""
    if isinstance(table, FittingTable):
        return realised_counts(table.whole, table.rows[rows])
    found: dict[str, Any] = {"few_shot": few_shot_rows(table, rows)}
    alone = table.alone if isinstance(table, FewShotTable) else table
    if isinstance(alone, VariantTable):
        found |= {"directions": alone.directions(rows), "noisy": alone.noisy(rows)}
    return found


def held_rows(store: Mapping[str, Table], limits: Iterable[object]) -> dict[str, int]:
    """How many examples every source has for any recipe of a space: those that fit however they are
    rendered, at most as long as the lowest of the space's values of `max_length`, if it has any."""
    lowest = min((limit for limit in limits if isinstance(limit, int | float)), default=None)
    return {
        name: _held([t for other, t in store.items() if _is_variant(other, name)], lowest)
        for name in store
        if "+" not in name
    }


def _is_variant(name: str, source: str) -> bool:
    """Whether a table of the store is the source's, and not of few-shot rows, which fit where they
    do alone."""
    own, _, _ = name.partition("+")
    return own == source and FEW_SHOT not in name and not is_draws(name)


def _held(tables: Sequence[Table], limit: float | None) -> int:
    if limit is not None:
        tables = [_fitting(table, int(limit)) for table in tables]
    if len(tables) == 1:
        return len(tables[0])
    places = [_places(table) for table in tables]
    return len(reduce(partial(np.intersect1d, assume_unique=True), places))


def _places(table: Table) -> Index:
    if isinstance(table, FittingTable):
        return _places(table.whole)[table.rows]
    assert isinstance(table, StoredTable | TokenTable)
    return table.places()
