"""Readers: every format ends as rows of strings, or as a DataError that names file, line and what
is wrong.

Formats by suffix: Parquet, JSONL, JSON (a list of objects, or WMT's `[{"translation": {...}}]`),
TSV and CSV with a header, TMX (also alone in a zip archive), and plain text, one sentence a line
(one file for each language, equally long).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from mtray.data.tmx import read_tmx
from mtray.errors import DataError

Row = dict[str, str]


def paths_of(path: str | Mapping[str, str]) -> list[str]:
    """The files of a source: one, or one for each language."""
    return [path] if isinstance(path, str) else list(path.values())


def read_text(path: Path) -> str:
    """The file as UTF-8 without a byte-order mark; DataError with the line of the first invalid
    byte."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # the decoder counts from behind a byte-order mark, so find the place anew in the raw bytes
        start = error.start + (3 if raw.startswith(b"\xef\xbb\xbf") else 0)
        line = raw.count(b"\n", 0, start) + 1
        raise DataError(
            f"{path}:{line}: not valid UTF-8 (byte 0x{raw[start]:02x}); convert the file to UTF-8"
        ) from None


def read_lines(path: Path) -> list[str]:
    """Lines without their ends (LF or CR-LF, no other character ends a line)."""
    text = read_text(path)
    lines = text.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    return [line.rstrip("\r") for line in lines]


def _from_objects(
    path: Path, objects: Iterable[tuple[int, object]], columns: Sequence[str]
) -> list[Row]:
    rows = []
    for number, found in objects:
        if isinstance(found, dict) and isinstance(found.get("translation"), dict):
            found = found["translation"]
        if not isinstance(found, dict):
            raise DataError(f"{path}:{number}: expected an object, found {type(found).__name__}")
        missing = [c for c in columns if not isinstance(found.get(c), str)]
        if missing:
            raise DataError(
                f"{path}:{number}: no text under {missing[0]!r}; "
                f"keys there: {', '.join(map(str, found))}"
            )
        rows.append({c: found[c] for c in columns})
    return rows


def _read_jsonl(path: Path, columns: Sequence[str]) -> list[Row]:
    def objects() -> Iterable[tuple[int, object]]:
        for number, line in enumerate(read_lines(path), 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except json.JSONDecodeError as error:
                    raise DataError(f"{path}:{number}: not JSON: {error.msg}") from None

    return _from_objects(path, objects(), columns)


def _read_json(path: Path, columns: Sequence[str]) -> list[Row]:
    try:
        found = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    if not isinstance(found, list):
        raise DataError(f"{path}: expected a list of objects, found {type(found).__name__}")
    return _from_objects(path, enumerate(found, 1), columns)


def _read_separated(separator: str) -> Callable[[Path, Sequence[str]], list[Row]]:
    def read(path: Path, columns: Sequence[str]) -> list[Row]:
        # quotes in TSV are text; `strict` makes a quote that is never closed an error
        reader = csv.DictReader(
            io.StringIO(read_text(path)),
            delimiter=separator,
            quoting=csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL,
            strict=True,
        )
        try:
            _require(path, columns, reader.fieldnames or [])
            return [_fields(path, reader, record, columns) for record in reader]
        except csv.Error as error:
            raise DataError(f"{path}:{reader.reader.line_num}: {error}") from None

    return read


def _fields(
    path: Path, reader: csv.DictReader[str], record: dict[str, str], columns: Sequence[str]
) -> Row:
    if None in record or any(record[c] is None for c in columns):
        expected = len(reader.fieldnames or [])
        raise DataError(f"{path}:{reader.line_num}: expected {expected} fields")
    return {c: record[c] for c in columns}


def _read_parquet(path: Path, columns: Sequence[str]) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        _require(path, columns, pq.read_schema(path).names)
        table = pq.read_table(path, columns=list(columns))
        rows: list[Row] = table.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {error}") from None
    for name in columns:
        if any(not isinstance(row[name], str | None) for row in rows):
            kind = table.schema.field(name).type
            raise DataError(f"{path}: column {name!r} holds {kind}, expected text")
    return rows


def _require(path: Path, columns: Sequence[str], found: Sequence[str]) -> None:
    missing = [c for c in columns if c not in found]
    if missing:
        raise DataError(
            f"{path}: no column {missing[0]!r}; columns there: {', '.join(found) or 'none'}"
        )


FORMATS: dict[str, Callable[[Path, Sequence[str]], list[Row]]] = {
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".tsv": _read_separated("\t"),
    ".csv": _read_separated(","),
    ".tmx": read_tmx,
    ".zip": read_tmx,
}


def _read_line_parallel(paths: Mapping[str, str], columns: Sequence[str]) -> list[Row]:
    _require(Path(next(iter(paths.values()))), columns, list(paths))
    sides = {c: read_lines(Path(paths[c])) for c in columns}
    lengths = {c: len(lines) for c, lines in sides.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{paths[c]} has {n:,} lines" for c, n in lengths.items())
        raise DataError(f"line-parallel files must be equally long: {counts}")
    return [dict(zip(columns, values, strict=True)) for values in zip(*sides.values(), strict=True)]


def all_rows(path: str | Mapping[str, str], columns: Sequence[str]) -> list[Row]:
    """Every row of the named columns, in file order; a field may be empty, in Parquet also None.

    `path` is one file, or a file for each column (line-parallel text). Raises DataError when a file
    is missing, damaged, lacks a column or holds invalid UTF-8."""
    if not isinstance(path, str):
        return _read_line_parallel(path, columns)
    file = Path(path)
    if file.suffix in FORMATS:
        return FORMATS[file.suffix](file, columns)
    if len(columns) == 1:
        return [{columns[0]: line} for line in read_lines(file)]
    known = ", ".join(FORMATS)
    raise DataError(
        f"{file}: unknown format {file.suffix!r}; known: {known}, or a file per language"
    )


def read_columns(
    path: str | Mapping[str, str], columns: Sequence[str], limit: int | None = None
) -> list[Row]:
    """`all_rows` without those that have an empty field, at most `limit`. Raises DataError also
    when nothing is left."""
    rows = all_rows(path, columns)
    # a Parquet cell may hold nothing at all
    kept = [row for row in rows if all(v and v.strip() for v in row.values())]
    if not kept:
        name = ", ".join(paths_of(path))
        raise DataError(
            f"{name}: the corpus is empty "
            f"({len(rows):,} rows, none with text in {', '.join(columns)})"
        )
    return kept[:limit]
