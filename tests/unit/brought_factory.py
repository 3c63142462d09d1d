"""A file that somebody brings, and builders of such files."""

import json
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class Brought:
    """- `content`: the file, or a function that makes it.
    - `columns`: those asked for.
    - `rows`: of each row the texts in the order of `columns`; or
    - `message`: a regular expression for the DataError.
    - `remarks`: regular expressions for what is said besides, a line each."""

    id: str
    file: str
    content: object
    columns: tuple[str, ...] = ("text",)
    rows: tuple[tuple[str, ...], ...] = ()
    message: str = ""
    remarks: tuple[str, ...] = ()

    def bytes(self):
        made = self.content() if callable(self.content) else self.content
        return made.encode() if isinstance(made, str) else made


def texts(*found):
    return tuple((text,) for text in found)


def parquet(values, kind=None, name="text", **options):
    """A file of one column, made when it is asked for."""

    def made():
        column = values if isinstance(values, pa.Array) else pa.array(values)
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({name: column.cast(kind) if kind else column}), sink, **options)
        return sink.getvalue().to_pybytes()

    return made


def tmx(*units):
    return f'<?xml version="1.0"?><tmx version="1.4"><body>{"".join(units)}</body></tmx>'


def unit(*variants):
    sides = (f'<tuv xml:lang="{code}"><seg>{text}</seg></tuv>' for code, text in variants)
    return f"<tu>{''.join(sides)}</tu>"


def jsonl(*rows):
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def talk(*turns, keys=("role", "content")):
    return {"messages": [dict(zip(keys, turn, strict=True)) for turn in turns]}
