"""A recipe's `few_shot_share`: this share of the pairs is preceded by other pairs of their source.

Every parallel source is tokenised twice, with its rows in one order: each pair alone, and after
shots (if any fit, else alone); where the recipe decides how rows are rendered, each of its variants
is (`mtray.data.variants`). Which rows a trial takes from the second table is drawn per row, so
that the few-shot rows of one share are also few-shot at a higher share, and a smaller mix is part
of a larger one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mtray.data.mixing import Index
from mtray.data.tables import Example, Origin, Table
from mtray.data.token_chunks import Hashes
from mtray.data.variants import takes_shots
from mtray.errors import ConfigError
from mtray.schema import Source


def check_share(share: float, sources: Sequence[Source]) -> None:
    """ConfigError where no source can be used with shots, but the share is above 0."""
    if share and not any(map(takes_shots, sources)):
        raise ConfigError(
            "`few_shot_share` is above 0, but every parallel source of the study has `context` or "
            "`documents`, which cannot be combined with shots"
        )


@dataclass(frozen=True)
class FewShotTable:
    """A source's two tables combined, for a share of few-shot rows."""

    name: str
    alone: Table
    shown: Table
    share: float

    def __len__(self) -> int:
        return len(self.alone)

    @property
    def available(self) -> int:
        return self.alone.available

    @property
    def dropped(self) -> int:
        return self.alone.dropped

    @property
    def origin(self) -> Origin:
        return self.alone.origin

    @property
    def key(self) -> str:
        return f"{self.alone.key}+{self.shown.key}"

    @cached_property
    def few_shot(self) -> npt.NDArray[np.bool_]:
        """Whether each row is taken from the second table, shape (rows,)."""
        digest = hashlib.sha256(f"few-shot/{self.name}".encode()).digest()
        random = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        return random.random(len(self)) < self.share

    def lengths(self) -> Index:
        return np.where(self.few_shot, self.shown.lengths(), self.alone.lengths())

    def hashes(self) -> Hashes:
        return np.where(self.few_shot, self.shown.hashes(), self.alone.hashes())

    def within(self, row: int) -> tuple[Table, int]:
        """The table that an example is taken from, and its row there."""
        return (self.shown if self.few_shot[row] else self.alone), row

    def example(self, row: int) -> Example:
        table, inner = self.within(row)
        return table.example(inner)


def few_shot_rows(table: Table, rows: Index) -> int:
    """How many of the drawn rows are few-shot examples, counting those for which no shot fitted."""
    return int(table.few_shot[rows].sum()) if isinstance(table, FewShotTable) else 0
