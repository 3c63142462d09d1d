"""A source's examples as token ids, in the study's order of that source, and a mix of several
sources."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, Protocol, overload

import numpy as np
import numpy.typing as npt

from mtray.data.mixing import OWN_DRAW, Draw, Index, Sums, source_order
from mtray.data.row_draws import Draws, as_draws
from mtray.data.token_chunks import Hashes, row_hashes
from mtray.data.token_files import TOKENS, TokenFile

Example = tuple[npt.NDArray[np.int32], int]
Origin = Literal["", "mapped", "sent"]


class Table(Protocol):
    """A source's examples.

    - `example`: ids, and the position from which loss is computed (after the prompt of a pair).
    - `hashes`: of each example's ids and that position, shape (examples,).
    - `dropped`: number of examples that were too long.
    - `available`: number of the source's other examples, of which the table may hold only the
      first.
    - `origin`: see `SourceShare.store`.
    """

    @property
    def available(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def origin(self) -> Origin: ...
    @property
    def key(self) -> str: ...
    def __len__(self) -> int: ...
    def lengths(self) -> Index: ...
    def hashes(self) -> Hashes: ...
    def example(self, row: int) -> Example: ...


@dataclass(frozen=True)
class TokenTable:
    """A table in memory.

    - `ids`: of all examples, concatenated, shape (tokens,).
    - `ends`: exclusive end of each example, shape (examples,).
    - `loss_from`: shape (examples,).
    - `known`: its hashes, where they need not be computed.
    - `places_known`: its `places`, where examples were left out.
    """

    ids: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int64]
    loss_from: npt.NDArray[np.int32]
    dropped: int
    available: int
    origin: Origin = ""
    key: str = ""
    known: Hashes | None = None
    places_known: Index | None = None

    def __len__(self) -> int:
        return len(self.ends)

    def places(self) -> Index:
        """See `StoredTable.places`."""
        return np.arange(len(self)) if self.places_known is None else self.places_known

    @property
    def draws(self) -> Draws:
        """See `StoredTable.draws`."""
        return as_draws(self.ids)

    def lengths(self) -> Index:
        return np.diff(self.ends, prepend=0)

    def hashes(self) -> Hashes:
        if self.known is None:
            return row_hashes(self.ids, self.lengths(), self.loss_from)
        return self.known

    def example(self, row: int) -> Example:
        start = self.ends[row - 1] if row else 0
        return self.ids[start : self.ends[row]], int(self.loss_from[row])


@dataclass(frozen=True)
class StoredTable:
    """The first `wanted` examples (None: all) of a store in the order of (seed, source). Only these
    fields are pickled; a process that draws from it maps the file.

    - `built`: whether this process built the store.
    - `left_out`: rows of the source dropped by each filter.
    - `allowed`: rows that overlap with evaluation sets and were kept.
    - `remarks`: what the source's reader left out.
    - `rendering`: counts of what its rows became, such as of special tokens in them.
    """

    folder: Path
    source: str
    seed: int
    rows: int
    dropped: int
    wanted: int | None = None
    built: bool = field(default=False, compare=False)
    left_out: Mapping[str, int] = field(default_factory=dict)
    allowed: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    rendering: Mapping[str, int] = field(default_factory=dict)
    origin: Origin = field(default="mapped", init=False)

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def key(self) -> str:
        return self.folder.name

    @property
    def available(self) -> int:
        return self.rows - self.dropped

    def __len__(self) -> int:
        return self.available if self.wanted is None else min(self.wanted, self.available)

    def is_there(self) -> bool:
        """Whether the file is accessible on this machine."""
        return (self.folder / TOKENS).is_file()

    @property
    def megabytes(self) -> float:
        """The size of the file, which may hold more examples than the table."""
        return (self.folder / TOKENS).stat().st_size / 1e6

    @cached_property
    def _file(self) -> TokenFile:
        return TokenFile(self.folder / TOKENS)

    @cached_property
    def _order(self) -> Index:
        """Rows of the file, shape (len,)."""
        return self._order_and_lengths[0]

    @cached_property
    def _lengths(self) -> Index:
        return self._order_and_lengths[1]

    @cached_property
    def _order_and_lengths(self) -> tuple[Index, Index]:
        order = source_order(self.seed, self.source, self.rows)
        if not self.dropped:
            order = order[: len(self)]
        lengths = self._file.lengths()[order]
        if self.dropped:
            kept = np.flatnonzero(lengths)[: len(self)]
            order, lengths = order[kept], lengths[kept]
        return order.copy(), lengths.astype(np.int64)

    def places(self) -> Index:
        """Where each example stands among all rows in the study's order, of which some are too
        long, shape (len,)."""
        if not self.dropped:
            return np.arange(len(self))
        order = source_order(self.seed, self.source, self.rows)
        return np.flatnonzero(self._file.lengths()[order])[: len(self)]

    @cached_property
    def draws(self) -> Draws:
        """Of a table of draws (`mtray.data.row_draws`): those of each row in the study's order."""
        return as_draws(self._file.all_ids())[self._order]

    def lengths(self) -> Index:
        return self._lengths

    def sizes(self) -> Index:
        """Tokens of every example that fits, in the order of the file."""
        lengths = self._file.lengths()
        return lengths[lengths > 0].astype(np.int64)

    def hashes(self) -> Hashes:
        return self._file.hashes()[self._order]

    def example(self, row: int) -> Example:
        return self._file.row(self.file_row(row))

    def file_row(self, row: int) -> int:
        """Where an example stands in the file, which has the source's rows in their order."""
        return int(self._order[row])

    def loaded(self) -> TokenTable:
        """The same table in memory, for a machine without access to the file."""
        ends = np.cumsum(self._lengths, dtype=np.int64)
        ids = np.empty(int(ends[-1]) if len(ends) else 0, np.int32)
        loss_from = np.empty(len(self), np.int32)
        start = 0
        for row, end in enumerate(ends.tolist()):
            ids[start:end], loss_from[row] = self.example(row)
            start = end
        return TokenTable(
            ids, ends, loss_from, self.dropped, self.available, "sent", self.key, self.hashes(),
            self.places() if self.dropped else None,
        )  # fmt: skip


class Examples(Sequence[Example]):
    """The examples of a mix, source by source; each is read on access."""

    def __init__(self, parts: Sequence[tuple[Table, Index]]) -> None:
        """Tables, and the rows drawn from each."""
        self._parts = [(table, rows) for table, rows in parts if len(rows)]
        self._ends = list(accumulate(len(rows) for _, rows in self._parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice) -> list[Example]: ...
    def __getitem__(self, place: int | slice) -> Example | list[Example]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        size = len(self)
        if not -size <= place < size:
            raise IndexError(place)
        table, row = self.drawn_from(int(place) % size)
        return table.example(row)

    def drawn_from(self, place: int) -> tuple[Table, int]:
        """The table that an example was drawn from, and its row there."""
        part = bisect_right(self._ends, place)
        table, rows = self._parts[part]
        return table, int(rows[place - self._ends[part]])  # counted from the part's end

    def __iter__(self) -> Iterator[Example]:
        for table, rows in self._parts:
            for row in rows:
                yield table.example(int(row))

    def lengths(self) -> Index:
        """Tokens of every example, shape (examples,)."""
        parts = [table.lengths()[rows] for table, rows in self._parts]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)


def digest_of(table: Table, rows: Index) -> str:
    """Hash of the token ids of some examples, shape (examples,), in their order, and of where their
    loss begins; independent of the store and the machine. Empty where there are no examples."""
    if not len(rows):
        return ""
    drawn = table.hashes()[rows].astype("<u8").tobytes()
    return hashlib.blake2b(drawn, digest_size=16).hexdigest()


def token_sums(store: Mapping[str, Table], which: Draw = OWN_DRAW) -> Sums:
    """For each source, the cumulative tokens of its first 1, 2, ... examples in the order of
    `which`."""
    return {
        name: np.cumsum(table.lengths()[which.order(name, len(table))])
        for name, table in store.items()
    }
