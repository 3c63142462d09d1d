"""The segments of a test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mtray.data.readers.paragraphs import BREAK


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

    def by_document(self) -> Segments:
        """A segment for each document, with a line for each of its segments; empty where one of
        them has no text. The domain is that of its first segment."""
        places: dict[str, list[int]] = {}
        for place, document in enumerate(self.documents or ()):
            places.setdefault(document, []).append(place)

        def whole(lines: list[str]) -> list[str]:
            documents = ([lines[i] for i in found] for found in places.values())
            return [BREAK.join(texts) if all(map(str.strip, texts)) else "" for texts in documents]

        first = [found[0] for found in places.values()]
        domains = None if self.domains is None else [self.domains[i] for i in first]
        return Segments(whole(self.sources), whole(self.references), list(places), domains)

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
