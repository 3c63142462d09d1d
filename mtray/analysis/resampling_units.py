"""The units that a bootstrap resamples together, across all sets of an evaluation.

Two segments belong to one unit if they share a text (a source or a reference) or a cluster of their
set (a document). So the directions of a multi-parallel set, both directions of one file and
abilities that read one file are resampled together, and the uncertainty of their mean is correct.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.int64]


def key_of(name: str) -> int:
    """A stable 63-bit number for a name; the same on every machine and in every process."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def shared_units(sets: Sequence[Sequence[Iterable[str]]]) -> list[Keys]:
    """The unit of every segment of every set, shape (segments,) each. `sets` holds the names of
    each segment: its texts and whatever else it may share. Segments that share a name, directly or
    through others, have the same key; the order of sets and segments does not matter."""
    rows = [[tuple(names) for names in segments] for segments in sets]
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for segments in rows:
        for first, *others in filter(None, segments):
            for other in others:
                a, b = root(first), root(other)
                # the lesser name represents both, so that the key does not depend on the order
                if a != b:
                    parent[max(a, b)] = min(a, b)
    return [_keys(place, segments, root) for place, segments in enumerate(rows)]


def _keys(place: int, segments: Sequence[tuple[str, ...]], root: Callable[[str], str]) -> Keys:
    """Keys of the segments; one without a name is a unit of its own."""
    found = [
        key_of(root(names[0]) if names else f"\0{place}/{row}")
        for row, names in enumerate(segments)
    ]
    return np.array(found, dtype=np.int64)
