"""Rows with all their columns, for readers that parse more than text: a file of objects or a table,
compressed or not, like any corpus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mtray.data.readers.byte_streams import ByteStream, open_stream
from mtray.data.readers.formats import format_of
from mtray.data.readers.objects import json_objects, jsonl_objects
from mtray.data.readers.parquet import parquet_objects
from mtray.data.readers.suffixes import TABLE_SUFFIXES
from mtray.data.readers.tables import records, table_objects
from mtray.errors import DataError

TABLES = ("csv", "tsv")
KINDS = ("jsonl", "json", "parquet", *TABLES)


def whole_rows(path: Path) -> Iterator[tuple[str, object]]:
    """(location, row) of every row of a file. DataError for another format, or for a damaged
    file."""
    with open_stream(path) as file:
        kind = _kind(file, KINDS)
        if kind in TABLES:
            yield from table_objects(file, kind)
        elif kind == "parquet":
            yield from parquet_objects(file)
        else:
            yield from (jsonl_objects if kind == "jsonl" else json_objects)(file)


def header(path: Path, what: str) -> list[str]:
    """The column names of a CSV or TSV file. DataError for another format; `what`: what the file
    is to be, for the message."""
    with open_stream(path) as file:
        kind = _kind(file, TABLES, what)
        return next(records(file, kind), (1, []))[1]


def _kind(file: ByteStream, kinds: tuple[str, ...], what: str = "") -> str:
    """The format by the file's name."""
    suffix = Path(file.file).suffix
    if TABLE_SUFFIXES.get(suffix.lower()) in kinds:
        found = format_of(file, ())
        if found in kinds:
            return found
    known = ", ".join(f".{kind}" for kind in kinds)
    raise DataError(f"{file.name}: unknown format {suffix!r}{what}; known: {known}")
