"""Flat rows as CSV and Parquet. The type of a column does not depend on the rows, even if some or
all of its cells are empty."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from io import BytesIO, StringIO
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from mtray.schema import Recipe

Row = Mapping[str, Any]
FORMULA = ("=", "+", "-", "@", "\t", "\r")
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")


def csv_bytes(rows: Sequence[Row]) -> bytes:
    """None becomes an empty cell. Every row has the keys of the first. Text that a spreadsheet
    would run as a formula has an apostrophe before it."""
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(_no_formula, rows[0]))
    for row in rows:
        writer.writerow([_no_formula(row[name]) for name in rows[0]])
    return buffer.getvalue().encode()


def _no_formula(value: Any) -> Any:
    """The cell as text, not as a formula (CWE-1236); a number keeps its sign."""
    if not isinstance(value, str) or not value.startswith(FORMULA):
        return value
    return value if NUMBER.fullmatch(value) else f"'{value}"


def parquet_bytes(rows: Sequence[Row]) -> bytes:
    """None becomes null. Every row has the keys of the first."""
    columns = {name: _column(name, [row[name] for row in rows]) for name in rows[0]}
    buffer = BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def _types(annotation: Any) -> set[Any]:
    """All types within an annotation, such as `Annotated[float, ...] | None`."""
    return {annotation}.union(*map(_types, get_args(annotation)))


def _column(name: str, values: list[Any]) -> pa.Array:
    """A column of a recipe's parameter has its field's type; any other column without values is
    numeric."""
    if name in Recipe.model_fields:
        allowed = _types(Recipe.model_fields[name].annotation)
        kind = pa.float64() if float in allowed else pa.int64() if int in allowed else pa.string()
        return pa.array(values, kind)
    found = pa.array(values)
    return pa.nulls(len(values), pa.float64()) if pa.types.is_null(found.type) else found
