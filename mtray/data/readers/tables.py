"""TSV and CSV. Columns are named by the first line; if all are `#1`, `#2` and so on, they are
counted from 1 in a file without a header."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence

from mtray.data.readers.byte_streams import ByteStream
from mtray.data.readers.lines import MOST_LINE, lines
from mtray.errors import DataError

Record = tuple[int, list[str]]  # number of its last line in the file, its fields


def require(name: str, columns: Sequence[str], found: Sequence[str], hint: str = "") -> None:
    """DataError listing the existing columns when one of `columns` is missing or occurs twice;
    `hint`: what may help besides."""
    for column in columns:
        if column not in found:
            raise DataError(
                f"{name}: no column {column!r}; columns there: {', '.join(found) or 'none'}"
                f"{separator_hint(found)}{_spelling_hint(column, found)}{hint}"
            )
        if list(found).count(column) > 1:
            raise DataError(f"{name}: column {column!r} occurs {list(found).count(column)} times")


def separator_hint(fields: Sequence[str]) -> str:
    """A remark on a line that is a single field because another character separates its fields."""
    other = {";": "semicolons", "\t": "tabs", "|": "vertical bars", ",": "commas"}
    found = [name for mark, name in other.items() if len(fields) == 1 and mark in fields[0]]
    if not found:
        return ""
    return (
        f"; the fields seem to be separated by {found[0]}: a CSV file has commas and a TSV file "
        "tabs, so save it as one of them"
    )


def _spelling_hint(column: str, found: Sequence[str]) -> str:
    """A remark on a column that differs in blanks or case alone."""
    near = [name for name in found if name.strip().casefold() == column.strip().casefold()]
    if not near:
        return ""
    what = "blanks around its name" if near[0].strip() == column.strip() else "another spelling"
    return f"; {near[0]!r} is there, with {what}: name it so in `columns`, or correct the header"


def read_tsv(file: ByteStream, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """A row for each line; quotes are part of the text."""
    return _rows(file.name, _tabbed(file), columns)


def read_csv(file: ByteStream, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """A row for each record; a quoted field may contain commas and line ends."""
    return _rows(file.name, _quoted(file), columns)


def table_objects(file: ByteStream, kind: str) -> Iterator[tuple[str, object]]:
    """(location, object) of every row of a `tsv` or `csv` with all columns of its header."""
    rows = records(file, kind)
    _, header = next(rows, (1, []))
    for number, fields in rows:
        if len(fields) != len(header):
            raise DataError(
                f"{file.name}:{number}: expected {len(header)} fields, found {len(fields)}"
            )
        yield f"{file.name}:{number}", dict(zip(header, fields, strict=True))


def records(file: ByteStream, kind: str) -> Iterator[Record]:
    """The records of a `tsv` or `csv`, the header first."""
    return _tabbed(file) if kind == "tsv" else _quoted(file)


def _tabbed(file: ByteStream) -> Iterator[Record]:
    for number, line in enumerate(lines(file), 1):
        line = line.rstrip("\r")
        if "\r" in line:
            raise DataError(f"{file.name}:{number}: new-line character (CR) within a line")
        if line:
            yield number, line.split("\t")


def _quoted(file: ByteStream) -> Iterator[Record]:
    csv.field_size_limit(max(csv.field_size_limit(), MOST_LINE))
    # `strict` makes an unclosed quote an error
    reader = csv.reader((f"{line}\n" for line in lines(file)), strict=True)
    begin = 1
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, fields
            begin = reader.line_num + 1
    except csv.Error as error:
        since = f" (in the record that begins in line {begin})" if begin < reader.line_num else ""
        raise DataError(f"{file.name}:{reader.line_num}: {error}{since}") from None


def _rows(name: str, records: Iterator[Record], columns: Sequence[str]) -> Iterator[dict[str, str]]:
    if columns and all(re.fullmatch(r"#[1-9]\d*", column) for column in columns):
        places = {column: int(column[1:]) - 1 for column in columns}
        expected = 0
    else:
        _, header = next(records, (1, []))
        require(name, columns, header)
        places = {column: header.index(column) for column in columns}
        expected = len(header)
    last = max(places.values(), default=0)
    for number, fields in records:
        expected = expected or len(fields)
        if len(fields) != expected:
            raise DataError(f"{name}:{number}: expected {expected} fields, found {len(fields)}")
        if last >= expected:
            raise DataError(
                f"{name}:{number}: {expected} fields, but #{last + 1} is requested"
                f"{separator_hint(fields)}"
            )
        yield {column: fields[place] for column, place in places.items()}
