"""Parquet, a few rows at a time. A column may be a path into structs (`translation.de`)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mtray.data.readers.byte_streams import ByteStream
from mtray.data.readers.conversations import KEYS
from mtray.data.readers.objects import WITHIN, UnreadTurns, conversation_hint, texts
from mtray.data.readers.parquet_size import BUFFER, modest_batches
from mtray.data.readers.tables import require
from mtray.errors import DataError
from mtray.full_disk import FullDisk, naming_temporary

if TYPE_CHECKING:
    import pyarrow as pa


@contextmanager
def _seekable(file: ByteStream) -> Iterator[Any]:
    """The file itself, or compressed content unpacked into an unnamed temporary file: Parquet is
    read from its end."""
    if file.plain is not None:
        yield str(file.plain)
        return
    with tempfile.TemporaryFile() as unpacked:
        with naming_temporary(unpacked, f"{file.name}, unpacked"):
            for chunk in file.chunks:
                unpacked.write(chunk)
            unpacked.seek(0)
        yield unpacked


def read_parquet(
    file: ByteStream, columns: Sequence[str], labels: Sequence[str] = ()
) -> Iterator[dict[str, str]]:
    """One dict per row; text is empty for null. DataError when a column is missing or does not hold
    text (or integers, for `labels`), or when the file is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 0
    try:
        with _seekable(file) as place, pq.ParquetFile(place, buffer_size=BUFFER) as held:
            needed = _needed(file.name, held.schema_arrow, columns, labels)
            flat = needed == list(columns) and not labels and "." not in "".join(columns)
            unread = UnreadTurns(columns, file.name, file.remarks)
            for batch in modest_batches(file.name, place, held, needed):
                if flat:
                    yield from _flat_rows(batch, columns)
                else:
                    for i, found in enumerate(batch.to_pylist(), row + 1):
                        unread.see(found)
                        yield texts(f"{file.name}: row {i:,}", found, columns, labels)
                row += len(batch)
    except FullDisk:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _unreadable(file.name, row, error) from None


def parquet_objects(file: ByteStream) -> Iterator[tuple[str, object]]:
    """(location, object) of every row, with all columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 0
    try:
        with _seekable(file) as place, pq.ParquetFile(place, buffer_size=BUFFER) as held:
            for batch in modest_batches(file.name, place, held, held.schema_arrow.names):
                for found in batch.to_pylist():
                    row += 1
                    yield f"{file.name}: row {row:,}", found
    except FullDisk:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _unreadable(file.name, row, error) from None


def _unreadable(name: str, row: int, error: Exception) -> DataError:
    after = f" after row {row:,}" if row else ""
    return DataError(f"{name}: not a readable Parquet file{after}: {error}")


def _flat_rows(batch: Any, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Rows where all columns hold text, four times as fast as row by row."""
    for values in zip(*(batch.column(column).to_pylist() for column in columns), strict=True):
        yield {column: text or "" for column, text in zip(columns, values, strict=True)}


def _needed(
    name: str, schema: pa.Schema, columns: Sequence[str], labels: Sequence[str]
) -> list[str]:
    """The columns of the file to read, after checking that each holds text."""
    import pyarrow as pa

    there = dict(_leaves("", schema, schema.names))
    needed = []
    for column in columns:
        path = column if column in there else f"{WITHIN}.{column}"
        if path not in there:
            head = column.partition(".")[0]
            if head not in schema.names or "." not in column:
                talks = [key for key, kind in there.items() if _is_conversation(kind)]
                require(name, [column], list(there), conversation_hint(talks))
            # within a list: `texts` looks it up in the whole column
            path, kind = head, pa.string()
        else:
            kind = there[path]
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (_is_text(kind) or (column in labels and pa.types.is_integer(kind))):
            raise DataError(f"{name}: column {column!r} holds {kind}, expected text")
        needed.append(path)
    return list(dict.fromkeys(needed))


def _is_text(kind: pa.DataType) -> bool:
    """Whether a type is one of Arrow's strings, or that of a column without any value."""
    import pyarrow as pa

    return any(
        is_type(kind)
        for is_type in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_null,
        )
    )


def _is_conversation(kind: pa.DataType) -> bool:
    """Whether a type is that of a list of turns (`mtray.data.readers.conversations`)."""
    import pyarrow as pa

    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return False
    turn = kind.value_type
    names = {turn.field(i).name for i in range(turn.num_fields)}
    return any(set(keys) <= names for keys in KEYS)


def _leaves(prefix: str, fields: Any, names: Sequence[str]) -> Iterator[tuple[str, pa.DataType]]:
    """Path and type of every column, with the fields of structs."""
    import pyarrow as pa

    for name in names:
        kind = fields.field(name).type
        if pa.types.is_struct(kind):
            parts = [kind.field(i).name for i in range(kind.num_fields)]
            yield from _leaves(f"{prefix}{name}.", kind, parts)
        else:
            yield f"{prefix}{name}", kind
