"""A recipe's table of a source, of which each row is taken from one of several token stores
(`mtray.data.variants`), and what was drawn from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mtray.data.mixing import Index
from mtray.data.row_draws import DRAWS, Draws, places_of_shares
from mtray.data.tables import Example, Origin, StoredTable, Table, TokenTable
from mtray.data.token_chunks import Hashes
from mtray.data.variants import Rendering, Variant
from mtray.errors import ConfigError, DataError

RowTable = StoredTable | TokenTable
Number = TypeVar("Number", bound=np.generic)


def draws_name(source: str, joins: bool) -> str:
    return f"{source}{DRAWS}{'+joins' * joins}"


def is_draws(name: str) -> bool:
    """Whether a table holds draws for rows, and no tokens."""
    return DRAWS in name


@dataclass(frozen=True)
class VariantTable:
    """The rows of a source in the study's order, each from one of several tables of these rows; a
    row that is too long in its table is left out, as in any table.

    - `parts`: a table for each part of the rendering.
    - `clean`: of each part, the table without noise.
    - `draws`: for each row, in the study's order; None where there is one part.
    """

    rendering: Rendering
    parts: tuple[RowTable, ...]
    clean: tuple[RowTable, ...]
    draws: Draws | None = None

    @cached_property
    def _size(self) -> int:
        """Rows of the source. DataError unless all tables have as many."""
        sizes = {table.available + table.dropped for table in (*self.parts, *self.clean)}
        if self.draws is not None:
            sizes.add(len(self.draws))
        if len(sizes) > 1:
            raise DataError(
                f"source {self.rendering.source!r}: its token stores have different numbers of "
                f"rows ({', '.join(f'{size:,}' for size in sorted(sizes))}); its file has changed "
                "while they were built; start again"
            )
        return sizes.pop()

    @cached_property
    def _part(self) -> npt.NDArray[np.intp]:
        """Which part each row of the source belongs to, shape (rows,)."""
        if self.draws is None:
            return np.zeros(self._size, np.intp)
        shares = self.rendering.directions
        direction = places_of_shares(self.draws[:, 0], shares.values())
        noisy = self.draws[:, 1] < self.rendering.rate
        place = np.full((len(shares), 2), -1, np.intp)
        for number, part in enumerate(self.rendering.parts):
            place[list(shares).index(part.direction), int(part.noisy)] = number
        place = np.where(place < 0, place[:, ::-1], place)  # a direction without noise
        return np.asarray(place[direction, noisy.astype(np.intp)])

    @cached_property
    def _kept(self) -> tuple[npt.NDArray[np.intp], Index]:
        """Of the rows that fit: their part, and their row in its table, both (examples,)."""
        found = np.stack([_row_by_place(table, self._size) for table in self.parts])
        rows = np.take_along_axis(found, self._part[None], axis=0)[0]
        kept = np.flatnonzero(rows >= 0)
        return self._part[kept], rows[kept]

    def __len__(self) -> int:
        return len(self._kept[0])

    @property
    def available(self) -> int:
        return len(self)

    @property
    def dropped(self) -> int:
        return self._size - len(self)

    @property
    def origin(self) -> Origin:
        return self.parts[0].origin

    @property
    def key(self) -> str:
        return "+".join(dict.fromkeys(table.key for table in self.parts))

    def lengths(self) -> Index:
        return self._gathered([table.lengths() for table in self.parts])

    def hashes(self) -> Hashes:
        return self._gathered([table.hashes() for table in self.parts])

    def _gathered(self, columns: Sequence[npt.NDArray[Number]]) -> npt.NDArray[Number]:
        """Of every example, the value of its own part's column, shape (examples,)."""
        parts, rows = self._kept
        found = np.empty(len(parts), columns[0].dtype)
        for number, column in enumerate(columns):
            own = parts == number
            found[own] = column[rows[own]]
        return found

    def within(self, row: int) -> tuple[Table, int]:
        """The table that an example is taken from, and its row there."""
        parts, rows = self._kept
        return self.parts[int(parts[row])], int(rows[row])

    def example(self, row: int) -> Example:
        table, inner = self.within(row)
        return table.example(inner)

    def directions(self, rows: Index) -> dict[str, int]:
        """How many of the drawn rows are of each direction; empty where the recipe gives none."""
        if not self.rendering.counts_directions:
            return {}
        counts = Counter(self._kept[0][rows].tolist())
        found = dict.fromkeys(self.rendering.directions, 0)
        for number, part in enumerate(self.rendering.parts):
            found[part.direction] += counts[number]
        return found

    def noisy(self, rows: Index) -> int | None:
        """How many of the drawn rows differ from what they are without noise; None where the
        recipe says nothing about noise."""
        if not self.rendering.counts_noise:
            return None
        hashes = self.hashes()[rows]
        parts, inner = (values[rows] for values in self._kept)
        found = 0
        for number, (table, clean) in enumerate(zip(self.parts, self.clean, strict=True)):
            if table.key == clean.key:
                continue
            own = parts == number
            places = table.places()[inner[own]]
            without = _row_by_place(clean, self._size)[places]
            same = (without >= 0) & (clean.hashes()[np.maximum(without, 0)] == hashes[own])
            found += int((~same).sum())
        return found


def _row_by_place(table: RowTable, size: int) -> Index:
    """Of every row of the source, in the study's order, its row in a table; -1 where it is too
    long, shape (size,)."""
    found = np.full(size, -1, np.int64)
    places = table.places()
    found[places] = np.arange(len(places))
    return found


def rendered_table(rendering: Rendering, store: Mapping[str, Table]) -> VariantTable:
    """The table of a source as a recipe has it rendered. ConfigError where a variant was not
    tokenised."""
    parts = [part.variant for part in rendering.parts]
    return _table(rendering, parts, rendering.clean, store)


def shown_table(
    rendering: Rendering, variants: Sequence[Variant], store: Mapping[str, Table]
) -> VariantTable:
    """The same rows as few-shot examples."""
    return _table(rendering, variants, variants, store)


def _table(
    rendering: Rendering,
    parts: Sequence[Variant],
    clean: Sequence[Variant],
    store: Mapping[str, Table],
) -> VariantTable:
    def of(variants: Sequence[Variant]) -> tuple[RowTable, ...]:
        return tuple(_found(f"{rendering.source}{v.suffix}", store) for v in variants)

    draws = None
    if len(parts) > 1:
        draws = _found(draws_name(rendering.source, rendering.joins), store).draws
    return VariantTable(rendering, of(parts), of(clean), draws)


def _found(name: str, store: Mapping[str, Table]) -> RowTable:
    table = store.get(name)
    if not isinstance(table, RowTable):
        raise ConfigError(f"the recipe draws from {name}, which was not tokenised for this space")
    return table
