"""The tables that a recipe draws from: with its few-shot examples (`few_shot_share`), and without
the examples that are longer than its `max_length`.

Sources are tokenised once, up to the study's `training.max_length`. A recipe's own limit leaves out
the longer ones of these examples and keeps the order of the rest, so trials differ by the examples
that are too long and by those that take their places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mtray.data.few_shot import few_shot_rows, few_shot_table
from mtray.data.mixing import Index
from mtray.data.tables import Example, Origin, Table
from mtray.data.token_files import Hashes
from mtray.schema import Recipe


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

    def example(self, row: int) -> Example:
        return self.whole.example(int(self.rows[row]))


def recipe_tables(recipe: Recipe, store: Mapping[str, Table]) -> Mapping[str, Table]:
    """The tables of a recipe by source; those of which everything fits are unchanged. ConfigError
    where the recipe has few-shot examples and no source was tokenised with shots."""
    tables = few_shot_table(store, recipe.few_shot_share)
    limit = recipe.max_length
    return tables if limit is None else {name: _fitting(t, limit) for name, t in tables.items()}


def _fitting(table: Table, limit: int) -> Table:
    found = FittingTable(table, limit)
    return table if len(found) == len(table) else found


def whole_table(table: Table) -> Table:
    """The table with the examples that a recipe's `max_length` leaves out."""
    return table.whole if isinstance(table, FittingTable) else table


def few_shot_count(table: Table, rows: Index) -> int:
    """How many of the drawn rows are few-shot examples."""
    if isinstance(table, FittingTable):
        return few_shot_rows(table.whole, table.rows[rows])
    return few_shot_rows(table, rows)


def held_rows(store: Mapping[str, Table], limits: Iterable[object]) -> dict[str, int]:
    """How many examples every source has for any recipe of a space: at most as long as the lowest
    of its values of `max_length`, if it has any."""
    lowest = min((limit for limit in limits if isinstance(limit, int | float)), default=None)
    return {
        name: len(table if lowest is None else _fitting(table, int(lowest)))
        for name, table in store.items()
    }
