"""Rows of texts, such as pairs of sentences, and the Parquet files that hold them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from mtray.full_disk import naming

Row = dict[str, str]


def by_content(rows: Iterable[Row]) -> list[Row]:
    """Ordered by hash of their content, which depends on no file's order: such files are often
    sorted by length, which must not affect prefixes."""
    return sorted(rows, key=lambda row: hashlib.sha256("\t".join(row.values()).encode()).digest())


def write_rows(rows: Sequence[Row], file: Path) -> None:
    """Write the rows to a Parquet file. Raises FullDisk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with naming(file, file):
        pq.write_table(pa.Table.from_pylist(rows), file, compression="zstd")
