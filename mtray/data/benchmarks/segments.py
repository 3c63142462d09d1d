"""The segments of a test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Segments:
    """Sources and references, both (n,). `documents`, `domains`: those of each segment, (n,), None
    where the set has none."""

    sources: list[str]
    references: list[str]
    documents: list[str] | None = None
    domains: list[str] | None = None

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def strata(self) -> tuple[list[str] | None, ...]:
        """The strata of a sample, outermost first (`mtray.data.stratified_sample`)."""
        return self.domains, self.documents

    def at(self, places: Sequence[int]) -> Segments:
        """The segments at these positions."""

        def of(lines: list[str] | None) -> list[str] | None:
            return None if lines is None else [lines[i] for i in places]

        return Segments(
            [self.sources[i] for i in places],
            [self.references[i] for i in places],
            of(self.documents),
            of(self.domains),
        )
