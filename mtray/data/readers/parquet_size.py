"""Limits on how far a Parquet file expands.

The sizes that its metadata declare are those of its pages. Rows that are indices into a dictionary
are written out only when they are read: a file of 3 kB can hold a million times a value of 1 MiB.
So batches are small where the dictionary's values are long, and what they hold is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mtray.data.readers.byte_streams import LEAST_SUSPECT, MOST_BYTES, MOST_RATIO
from mtray.errors import DataError

BATCH = 1024  # rows
BUFFER = 1 << 20  # bytes read at a time from each column


def modest_batches(name: str, place: Any, held: Any, columns: Sequence[str]) -> Iterator[Any]:
    """The record batches of some columns of `held`, an open `ParquetFile` of `place`. DataError
    when they expand to far more than their size in the file, before memory is allocated for it."""
    from pyarrow.parquet import ParquetFile

    parts = [part for group in range(held.num_row_groups) for part in _parts(held, group, columns)]
    packed = sum(part.total_compressed_size for part in parts)
    _require_modest(name, packed, sum(part.total_uncompressed_size for part in parts))
    texts = list({p.path_in_schema for p in parts if p.physical_type == "BYTE_ARRAY"})
    coded = ParquetFile(
        place, metadata=held.metadata, buffer_size=BUFFER, read_dictionary=sorted(texts)
    )
    seen = 0
    with coded:
        for group in range(held.num_row_groups):
            rows = max(1, min(BATCH, LEAST_SUSPECT // _longest(coded, group, columns)))
            for batch in held.iter_batches(rows, row_groups=[group], columns=columns):
                seen += sum(map(_bytes, batch.columns))
                _require_modest(name, packed, seen)
                yield batch


def _parts(held: Any, group: int, columns: Sequence[str]) -> Iterator[Any]:
    """The metadata of a row group's chunks of these columns, with their nested ones."""
    found = held.metadata.row_group(group)
    for i in range(found.num_columns):
        part = found.column(i)
        if any(f"{part.path_in_schema}.".startswith(f"{column}.") for column in columns):
            yield part


def _require_modest(name: str, packed: int, expanded: int) -> None:
    suspect = expanded > LEAST_SUSPECT and expanded > MOST_RATIO * packed
    if suspect or expanded > MOST_BYTES:
        limit = f"{MOST_RATIO} times as many" if suspect else f"{MOST_BYTES:,}"
        raise DataError(
            f"{name}: {packed:,} bytes expand to {expanded:,}; refused: the limit is "
            f"{limit} (write it as JSONL yourself if you trust it)"
        )


def _longest(coded: Any, group: int, columns: Sequence[str]) -> int:
    """Bytes of the longest value in the dictionaries of a row group, at least 1. `coded` reads text
    as indices, so that the first row brings the whole dictionary and nothing is written out."""
    import pyarrow.compute as pc

    first = next(coded.iter_batches(1, row_groups=[group], columns=columns), None)
    longest = 1
    for array in _dictionaries(first.columns if first is not None else ()):
        longest = max(longest, pc.max(pc.binary_length(array.dictionary)).as_py() or 0)
    return longest


def _dictionaries(arrays: Sequence[Any]) -> Iterator[Any]:
    import pyarrow as pa

    for array in arrays:
        if pa.types.is_dictionary(array.type):
            yield array
        elif pa.types.is_nested(array.type):
            yield from _dictionaries(_within(array))


def _within(array: Any) -> list[Any]:
    """The arrays of a struct's fields, or a list's values."""
    import pyarrow as pa

    if pa.types.is_struct(array.type):
        fields: list[Any] = array.flatten()
        return fields
    if pa.types.is_map(array.type):
        return [array.keys, array.items]
    return [array.flatten()]


def _bytes(array: Any) -> int:
    """Bytes of an array, with the values of a dictionary as often as they are referred to."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        lengths = pc.binary_length(array.dictionary).take(array.indices)
        return int(pc.sum(lengths).as_py() or 0) + int(array.indices.nbytes)
    if pa.types.is_nested(array.type):
        return sum(map(_bytes, _within(array)))
    return int(array.nbytes)
