"""JSONL and JSON (a list of objects), and columns within objects.

A column may be a path: `translation.de`, or `messages.0.content` with an index into a list, or
`messages.user` with the role of a turn (`mtray.data.readers.conversations`). Keys under
`translation`, as in WMT's files, are also found without that prefix.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mtray.data.readers.byte_streams import ByteStream
from mtray.data.readers.conversations import KEYS, count_unread, text_of, turns_of
from mtray.data.readers.lines import MOST_LINE, decoded, text_lines
from mtray.data.readers.remarks import Remarks
from mtray.errors import DataError

WITHIN = "translation"
SPACE = re.compile(r"[ \t\n\r]*")
MISSING = object()
# type of a value by its first character
KINDS = {"{": "dict", "[": "list", '"': "str", "t": "bool", "f": "bool", "n": "null"}
KINDS |= dict.fromkeys("-0123456789", "number")


def field(found: object, column: str) -> object:
    """The value at a path, or MISSING. A key that contains dots itself takes precedence."""
    head, _, rest = column.partition(".")
    if isinstance(found, Mapping):
        if column in found:
            return found[column]
        if rest and head in found:
            return field(found[head], rest)
    elif isinstance(found, Sequence) and not isinstance(found, str) and head.isdecimal():
        place = int(head)
        if place >= len(found):
            return MISSING
        return field(found[place], rest) if rest else found[place]
    if rest in ("", *(text for _, text in KEYS)) and (turns := turns_of(found)) is not None:
        return text_of(turns, head)
    return MISSING


class UnreadTurns:
    """Counts what `columns` leave out of the conversations that they are in."""

    def __init__(self, columns: Sequence[str], where: str, remarks: Remarks) -> None:
        self._where, self._remarks = where, remarks
        self._roles: dict[str, set[str]] = {}  # by the column of the conversation
        for column in columns:
            parts = column.split(".")
            parts = parts[:-1] if parts[-1] in (text for _, text in KEYS) else parts
            if len(parts) > 1 and not parts[-1].isdecimal():
                self._roles.setdefault(".".join(parts[:-1]), set()).add(parts[-1])

    def see(self, found: object) -> None:
        for column, roles in self._roles.items():
            if (turns := turns_of(field(found, column))) is not None:
                count_unread(turns, roles, self._where, self._remarks)


def texts(
    place: str, found: object, columns: Sequence[str], labels: Sequence[str] = ()
) -> dict[str, str]:
    """The row of an object: text under every column, empty for null. Columns in `labels` may be
    integers. DataError for anything else."""
    if not isinstance(found, Mapping):
        raise DataError(f"{place}: expected an object, found {type(found).__name__}")
    row = {}
    for column in columns:
        value = found.get(column)
        text = value if isinstance(value, str) else _text(place, found, column, labels)
        if not text.isascii():
            _require_characters(place, column, text)
        row[column] = text
    return row


def _text(place: str, found: Mapping[str, object], column: str, labels: Sequence[str]) -> str:
    value = field(found, column)
    if value is MISSING:
        value = field(found.get(WITHIN), column)
    if isinstance(value, int) and column in labels:
        return str(value)
    if value is not None and not isinstance(value, str):
        kind = "" if value is MISSING else f" but {type(value).__name__}"
        talks = [key for key, held in found.items() if turns_of(held)]
        raise DataError(
            f"{place}: no text under {column!r}{kind}; keys there: {', '.join(map(str, found))}"
            f"{conversation_hint(talks)}"
        )
    return value or ""


def conversation_hint(columns: Sequence[str]) -> str:
    """How to name the turns of a conversation in one of these columns; empty without one."""
    if not columns:
        return ""
    at = columns[0]
    return (
        f"; {at!r} is a conversation, whose turns are named by their roles, as in "
        f"`columns: {{prompt: {at}.user, target: {at}.assistant}}`"
    )


def _require_characters(place: str, column: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{place}: an unpaired surrogate (\\u{ord(text[error.start]):04x}) under {column!r}"
        ) from None


def rows_of(
    objects: Iterable[tuple[str, object]],
    columns: Sequence[str],
    labels: Sequence[str],
    unread: UnreadTurns,
) -> Iterator[dict[str, str]]:
    """Rows of objects with their locations."""
    for place, found in objects:
        unread.see(found)
        yield texts(place, found, columns, labels)


def jsonl_objects(file: ByteStream) -> Iterator[tuple[str, object]]:
    """(location, object) of every line that is not blank."""
    for number, line in enumerate(text_lines(file), 1):
        if line.strip():
            place = f"{file.name}:{number}"
            try:
                found = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{place}: {_reason(error)}") from None
            yield place, found


def json_objects(file: ByteStream) -> Iterator[tuple[str, object]]:
    """(location, object) of every item of a list, read as a stream."""
    window = _Window(file)
    if (first := window.next()) != "[":
        if kind := KINDS.get(first):
            raise DataError(f"{file.name}: expected a list of objects, found {kind}")
        raise window.wrong("expecting a list of objects")
    window.at += 1
    if window.next() == "]":
        window.at += 1
    else:
        yield from _items(window)
    if window.next():
        raise window.wrong("extra data behind the list")


def _items(window: _Window) -> Iterator[tuple[str, object]]:
    after = ","
    while after == ",":
        first = window.next()
        place = f"{window.name}:{window.line()}"
        if (kind := KINDS.get(first)) not in ("dict", None):
            raise DataError(f"{place}: expected an object, found {kind}")
        yield place, window.value()
        after = window.next()
        if after not in (",", "]"):
            raise window.wrong("expecting ',' or ']'")
        window.at += 1


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg}"
    if isinstance(error, RecursionError):
        return "not JSON that can be read: nested too deeply"
    return f"not JSON that can be read: {error}"  # such as a number with thousands of digits


class _Window:
    """The buffered part of a JSON text, and the position that is read next."""

    def __init__(self, file: ByteStream) -> None:
        self.name, self.text, self.at = file.name, "", 0
        self._chunks = decoded(file)
        self._decoder = json.JSONDecoder()
        self._line, self._counted = 1, 0

    def line(self, at: int | None = None) -> int:
        """The line of a position, by default the next one."""
        at = self.at if at is None else at
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._line + self.text.count("\n", self.at, at)

    def wrong(self, what: str) -> DataError:
        return DataError(f"{self.name}:{self.line()}: not JSON: {what}")

    def more(self) -> bool:
        """Drop what was read, and read at least as much again as is buffered, so that repeated
        attempts at a long value take linear time; False at the end."""
        self.line()
        kept = [self.text[self.at :]]
        wanted, taken = len(kept[0]), 0
        if wanted > MOST_LINE:
            raise DataError(f"{self.name}:{self.line()}: a value of over {MOST_LINE:,} characters")
        for chunk in self._chunks:
            kept.append(chunk)
            taken += len(chunk)
            if taken and taken >= wanted:
                break
        self.text, self.at, self._counted = "".join(kept), 0, 0
        return taken > 0

    def next(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            found = SPACE.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def value(self) -> object:
        """The value at the next position."""
        while True:
            try:
                found, self.at = self._decoder.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                line = self.line(error.pos)
                if not (self._is_cut(error) and self.more()):
                    raise DataError(f"{self.name}:{line}: {_reason(error)}") from None
            except (ValueError, RecursionError) as error:
                raise DataError(f"{self.name}:{self.line()}: {_reason(error)}") from None
            else:
                return found

    def _is_cut(self, error: json.JSONDecodeError) -> bool:
        """Whether the error may be due to the end of the buffer. Apart from strings, the longest
        token whose truncation is reported well before the end is a pair of escapes."""
        return error.msg.startswith("Unterminated") or error.pos >= len(self.text) - 12
