"""The format of a file: by its name, else by its content."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from mtray.data.readers import byte_streams
from mtray.data.readers.byte_streams import ByteStream
from mtray.data.readers.lines import marked
from mtray.data.readers.suffixes import TABLE_SUFFIXES
from mtray.errors import DataError

# formats by the root element of an XML or SGML file
ROOTS = {
    "tmx": "tmx", "dataset": "wmt-xml", "mteval": "sgm", "srcset": "sgm", "refset": "sgm",
    "tstset": "sgm",
}  # fmt: skip
PARQUET = b"PAR1"
LINE_END = re.compile(r"\r\n?|\n")
ELEMENT = re.compile(r"<([A-Za-z][\w.-]*)[\s/>]")


def names_a_format(path: str) -> bool:
    """Whether a file's name shows that it is a table, or an archive that may hold one."""
    suffix = Path(path).suffix.lower()
    return suffix in TABLE_SUFFIXES or suffix in byte_streams.SUFFIXES


def format_of(file: ByteStream, columns: Sequence[str]) -> str | None:
    """One of `mtray.schema.Format`, None when neither name nor content shows it; DataError for an
    unknown kind of XML file."""
    named = TABLE_SUFFIXES.get(Path(file.file).suffix.lower())
    if named == "json" and _is_lines(_text(file.head)):
        return "jsonl"
    if named != "xml":
        return named or _by_content(file, columns)
    root = _root(_text(file.head))
    if root not in ROOTS:
        raise DataError(
            f"{file.name}: the first element is <{root or ''}>; known: {', '.join(ROOTS)}"
        )
    return ROOTS[root]


def format_of_side(file: ByteStream) -> str | None:
    """The same for a file of one language, whose lines are text even if they look like a table."""
    if Path(file.file).suffix.lower() in TABLE_SUFFIXES:
        return format_of(file, ())
    if file.head.startswith(PARQUET):
        return "parquet"
    return ROOTS.get(_root(_text(file.head)) or "")


def _text(head: bytes) -> str:
    encoding, mark = marked(head)
    return head[mark : byte_streams.HEAD].decode(encoding, errors="replace")


def _root(text: str) -> str | None:
    found = ELEMENT.search(text)
    return found[1].lower() if found and text.lstrip().startswith("<") else None


def _is_lines(text: str) -> bool:
    """Whether the first line is a complete JSON object and something follows it."""
    first, *rest = LINE_END.split(text.lstrip(), maxsplit=1)
    return bool(rest and rest[0].strip()) and _object(first) is not None


def _object(line: str) -> dict[str, object] | None:
    try:
        found = json.loads(line) if line.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _by_content(file: ByteStream, columns: Sequence[str]) -> str | None:
    if file.head.startswith(PARQUET):
        return "parquet"
    text = _text(file.head)
    if (root := _root(text)) in ROOTS:
        return ROOTS[root or ""]
    if re.match(r"\s*\[\s*\{\s*\"", text):
        return "json"
    first = LINE_END.split(text.lstrip(), maxsplit=1)[0]
    if _object(first) is not None:
        return "jsonl"
    for separator, name in (("\t", "tsv"), (",", "csv")):
        header = [cell.strip('"') for cell in first.split(separator)]
        # with a single column wanted, a comma is too common in text to indicate a table
        if len(header) > 1 and set(columns) <= set(header) and (len(columns) > 1 or name == "tsv"):
            return name
    if all(column.startswith("#") for column in columns) and "\t" in first:
        return "tsv"
    return None
