"""Rows of one document as one text. Rows are in the source's order, without dropped ones; adjacent
rows with the same `document` belong together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from mtray.data.readers.sources import Row
from mtray.errors import DataError


def document_of(row: Row, source: str) -> str:
    """DataError where the source has no documents."""
    try:
        return row["document"]
    except KeyError:
        raise DataError(
            f"source {source!r}: no row has a document; name its column: "
            "`columns: {document: COLUMN}`"
        ) from None


def joined_texts(
    rows: Iterable[Row], source: str, limit: int, lengths: Callable[[Sequence[str]], list[int]]
) -> Iterator[str]:
    """The documents' texts, one row a line, in pieces (`joined_rows`) of up to `limit` tokens each.
    `lengths` counts the tokens of texts."""

    def join(row: Row, following: Row) -> Row:
        return row | {"text": f"{row['text']}\n{following['text']}"}

    def fits(row: Row) -> bool:
        return lengths([row["text"]])[0] <= limit

    return (row["text"] for row in joined_rows(rows, source, join, fits))


def joined_rows(
    rows: Iterable[Row], source: str, join: Callable[[Row, Row], Row], fits: Callable[[Row], bool]
) -> Iterator[Row]:
    """The documents' rows, which `join` puts together one by one, cut between rows into as few
    pieces as possible that each fit; a piece that does not is a single row."""
    for _, group in groupby(rows, key=lambda row: document_of(row, source)):
        rest = iter(group)
        piece = next(rest)
        for row in rest:
            more = join(piece, row)
            if fits(more):
                piece = more
            else:
                yield piece
                piece = row
        yield piece


def with_previous(
    rows: Iterable[Row], source: str, count: int
) -> Iterator[tuple[Row, tuple[Row, ...]]]:
    """Every row with up to `count` preceding rows of its document, the nearest last."""
    before: deque[Row] = deque(maxlen=count)
    document = None
    for row in rows:
        if document_of(row, source) != document:
            document = document_of(row, source)
            before.clear()
        yield row, tuple(before)
        before.append(row)
