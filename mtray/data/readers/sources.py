"""Readers: every format becomes rows of strings, or a DataError that names file, line and what is
wrong.

A path is one of
- a file: Parquet, JSONL, JSON (a list of objects), TSV and CSV with a header, TMX, WMT's SGM and
  XML, or plain text, one sentence a line; detected by name, else by content;
- a file for each column: plain text or SGM, of equal length;
- a folder with a data set (`save_to_disk`, or Parquet files);
- `hf:` and the name of a data set on the Hugging Face hub.

Files may be compressed (gz, zst, xz, bz2), or in a zip archive: its only member, or a named one
(`corpus.zip/train.de`). All are read as a stream (`mtray.data.readers`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path

from mtray.data.readers import byte_streams
from mtray.data.readers.byte_streams import ByteStream, open_stream
from mtray.data.readers.formats import format_of, format_of_side
from mtray.data.readers.hub import read_folder, read_hub
from mtray.data.readers.lines import read_lines, read_text, text_lines
from mtray.data.readers.objects import UnreadTurns, json_objects, jsonl_objects, rows_of
from mtray.data.readers.options import BY_FILE_NAME, ReadOptions
from mtray.data.readers.paragraphs import as_read, has_break
from mtray.data.readers.parquet import read_parquet
from mtray.data.readers.remarks import Remarks, current
from mtray.data.readers.suffixes import TABLE_SUFFIXES
from mtray.data.readers.tables import read_csv, read_tsv, require
from mtray.data.readers.tmx import read_tmx
from mtray.data.readers.wmt_files import read_sgm, read_wmt_xml, sgm_segments
from mtray.errors import ConfigError, DataError
from mtray.schema import HUB_PREFIX, Source

__all__ = [
    "BY_FILE_NAME",
    "DOCUMENT",
    "DOMAIN",
    "LABELS",
    "ReadOptions",
    "Row",
    "all_rows",
    "is_there",
    "paths_of",
    "read_columns",
    "read_lines",
    "read_text",
    "source_rows",
    "stream_columns",
]

Row = dict[str, str]
Path_ = str | Mapping[str, str]
# the roles in `columns` that name a row's domain and its document
LABELS = DOMAIN, DOCUMENT = "domain", "document"
KEYED = {
    "tsv": read_tsv,
    "csv": read_csv,
    "tmx": read_tmx,
    "sgm": read_sgm,
    "wmt-xml": read_wmt_xml,
}
OBJECTS = {"jsonl": jsonl_objects, "json": json_objects}


def paths_of(path: Path_) -> list[str]:
    """The files of a source: one, or one for each language."""
    return [path] if isinstance(path, str) else list(path.values())


def is_there(path: str) -> bool:
    """Whether a source's path exists: a file, a member of an archive or a folder; for a hub data
    set this is not known before it is read."""
    return is_data_set(path) or byte_streams.is_there(Path(path))


def is_data_set(path: str) -> bool:
    """Whether a source's path is that of a data set, in a folder or on the hub, and not of a
    file."""
    return path.startswith(HUB_PREFIX) or Path(path).is_dir()


def _read_file(
    path: Path, columns: Sequence[str], read_options: ReadOptions, remarks: Remarks
) -> Iterator[Row]:
    with open_stream(path, remarks) as file:
        name = read_options.format or format_of(file, columns)
        if name in KEYED:
            yield from KEYED[name](file, columns)
        elif name in OBJECTS:
            unread = UnreadTurns(columns, file.name, remarks)
            yield from rows_of(OBJECTS[name](file), columns, read_options.labels, unread)
        elif name == "parquet":
            yield from read_parquet(file, columns, read_options.labels)
        elif len(columns) == 1:
            yield from ({columns[0]: line} for line in text_lines(file))
        else:
            raise DataError(
                f"{path}: unknown format {Path(file.file).suffix!r}; known: "
                f"{', '.join(TABLE_SUFFIXES)}, or a file per language"
            )


def _keyed_lines(
    file: ByteStream, name: str | None
) -> Iterator[tuple[str, tuple[str, str] | None, str]]:
    """(location, document and id where the file has them, text) of every line or segment."""
    if name == "sgm":
        for found in sgm_segments(file):
            yield f"{file.name}:{found.line}", (found.document, found.id), found.text
    elif name in (None, "text"):
        for number, line in enumerate(text_lines(file), 1):
            yield f"{file.name}:{number}", None, line
    else:
        raise DataError(f"{file.name}: {name}; a file for each language is plain text or SGM")


def _read_parallel(
    paths: Mapping[str, str], columns: Sequence[str], read_options: ReadOptions, remarks: Remarks
) -> Iterator[Row]:
    """Rows of a file for each column; for SGM with the document."""
    wanted = [c for c in columns if c != DOCUMENT or c in paths]
    require(next(iter(paths.values())), wanted, list(paths))
    counts = dict.fromkeys(wanted, 0)
    with ExitStack() as stack:
        files = [stack.enter_context(open_stream(Path(paths[c]), remarks)) for c in wanted]
        sides = [_keyed_lines(f, read_options.format or format_of_side(f)) for f in files]
        for found in zip_longest(*sides):
            for column, side in zip(wanted, found, strict=True):
                counts[column] += side is not None
            if None in found:
                continue
            keys = {key: place for place, key, _ in found if key is not None}
            if len(keys) > 1:
                (a, at_a), (b, at_b), *_ = keys.items()
                raise DataError(f"{at_a}: document and segment {a} are paired with {b} ({at_b})")
            row = {column: text for column, (_, _, text) in zip(wanted, found, strict=True)}
            if DOCUMENT in columns and DOCUMENT not in row:
                if not keys:
                    require(next(iter(paths.values())), [DOCUMENT], list(paths))
                row[DOCUMENT] = next(iter(keys))[0]
            yield row
    if len(set(counts.values())) > 1:
        lengths = ", ".join(f"{paths[c]} has {n:,} lines" for c, n in counts.items())
        raise DataError(f"line-parallel files must be equally long: {lengths}")


def _as_read(row: Row) -> Row:
    """The row with its texts as `mtray.data.readers.paragraphs` says, whatever the format."""
    if any(map(has_break, row.values())):
        return {column: as_read(text) for column, text in row.items()}
    return row


def _rows(
    path: Path_, columns: Sequence[str], read_options: ReadOptions, remarks: Remarks
) -> Iterator[Row]:
    return map(_as_read, _rows_of(path, columns, read_options, remarks))


def _rows_of(
    path: Path_, columns: Sequence[str], read_options: ReadOptions, remarks: Remarks
) -> Iterator[Row]:
    if not isinstance(path, str):
        return _read_parallel(path, columns, read_options, remarks)
    if path.startswith(HUB_PREFIX):
        return read_hub(path, columns, read_options, remarks)
    if Path(path).is_dir():
        return read_folder(Path(path), columns, read_options, remarks)
    return _read_file(Path(path), columns, read_options, remarks)


def stream_columns(
    path: Path_,
    columns: Sequence[str],
    read_options: ReadOptions = BY_FILE_NAME,
    remarks: Remarks | None = None,
) -> Iterator[Row]:
    """Every row of the named columns, in file order, as a stream; a field may be empty. What is
    left out is counted in `remarks`.

    Raises DataError, at the first row or later, when a file is missing, damaged, lacks a column,
    has invalid UTF-8, expands too far, is not as long as the others or has no rows; ConfigError for
    a key of `read_options` that does not apply to the path.
    """
    for key in ("split", "config", "revision"):
        if getattr(read_options, key) and not (isinstance(path, str) and is_data_set(path)):
            raise ConfigError(
                f"{paths_of(path)[0]}: `{key}` is only for data sets, and this is a file"
            )
    row = None
    for row in _rows(path, columns, read_options, current() if remarks is None else remarks):
        yield row
    if row is None:
        raise _empty(path, columns, 0)


def source_rows(source: Source, remarks: Remarks | None = None) -> Iterator[Row]:
    """The rows of a source by role: `source` and `target` of pairs, `text`, or `prompt` and
    `target`; and `document` where the source's `columns` name it. Like `stream_columns`."""
    roles = ("source", "target") if source.kind == "parallel" else source.roles
    names = [source.columns.get(name, name) for name in source.roles]
    if label := source.columns.get(DOCUMENT):
        roles, names = (*roles, DOCUMENT), [*names, label]
    read_options = ReadOptions(
        source.format, source.split, source.config, source.revision, (label,) if label else ()
    )
    for row in stream_columns(source.path, list(dict.fromkeys(names)), read_options, remarks):
        yield {role: row[name] for role, name in zip(roles, names, strict=True)}


def all_rows(path: Path_, columns: Sequence[str], labels: Sequence[str] = ()) -> list[Row]:
    """`stream_columns` as a list, which may be empty; `labels` are further columns that may hold
    integers, such as document ids."""
    columns = list(dict.fromkeys([*columns, *labels]))
    return list(_rows(path, columns, ReadOptions(labels=tuple(labels)), current()))


def read_columns(path: Path_, columns: Sequence[str], labels: Sequence[str] = ()) -> list[Row]:
    """`all_rows` without rows that have an empty field among `columns`. Raises DataError also when
    no row is left."""
    rows = all_rows(path, columns, labels)
    kept = [row for row in rows if all(row[column].strip() for column in columns)]
    if not kept:
        raise _empty(path, columns, len(rows))
    return kept


def _empty(path: Path_, columns: Sequence[str], rows: int) -> DataError:
    return DataError(
        f"{', '.join(paths_of(path))}: the corpus is empty "
        f"({rows:,} rows, none with text in {', '.join(columns)})"
    )
