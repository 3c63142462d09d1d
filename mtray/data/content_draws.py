"""Random draws that depend on content alone: the same for a row wherever it stands and whatever
else is drawn."""

from __future__ import annotations

import hashlib


def _number(parts: tuple[object, ...]) -> int:
    text = "\0".join(map(str, parts))
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big")


def uniform_by_content(*parts: object) -> float:
    """A number in [0, 1), approximately uniform over different `parts`."""
    return (_number(parts) >> 11) / (1 << 53)


def choice_by_content(count: int, *parts: object) -> int:
    """One of `count` indices, all equally likely."""
    return _number(parts) % count
