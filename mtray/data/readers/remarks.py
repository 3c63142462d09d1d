"""What readers leave out, or read in another way than it looks: counted, to be shown by `check`,
`data` and `score`.

A source's reading is given its `Remarks`. Evaluation files are read whole by many callers, which
share the `Remarks` of the enclosing `collected()`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Remarks:
    """Remarks by the file (or data set) that they are on."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def count(self, where: str, what: str, n: int = 1) -> None:
        """Add `n` to the count of `what`, such as "rows with a system turn, which is not read"."""
        if n:
            self._counts[where, what] += n

    def note(self, where: str, what: str) -> None:
        """A remark without a number."""
        self._counts[where, what] += 0

    def lines(self) -> list[str]:
        """A line each, in the order of their first occurrence."""
        return [
            f"{where}: {f'{n:,} ' if n else ''}{what}" for (where, what), n in self._counts.items()
        ]


_COLLECTING: ContextVar[Remarks | None] = ContextVar("collecting", default=None)


@contextmanager
def collected() -> Iterator[Remarks]:
    """The remarks on everything that is read within the context."""
    remarks = Remarks()
    token = _COLLECTING.set(remarks)
    try:
        yield remarks
    finally:
        _COLLECTING.reset(token)


def current() -> Remarks:
    """Those of the enclosing `collected()`; without one, remarks that nobody reads."""
    found = _COLLECTING.get()
    return Remarks() if found is None else found
