"""What is written in any format and compression is read back, whatever the text."""

import bz2
import csv
import gzip
import io
import json
import lzma
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reader_factory import zipped, zstd

from mtray.data.readers import byte_streams
from mtray.data.readers.paragraphs import as_read, one_line
from mtray.data.readers.sources import all_rows

COLUMNS = ("en", "uk")
ANYTHING = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
# text files hold no NUL; a mark at their very beginning is no text
TEXT = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0\ufeff"), max_size=40
)
LINE = TEXT.map(lambda t: t.replace("\n", " ").rstrip("\r"))
CELL = TEXT.map(lambda t: t.replace("\n", " ").replace("\t", " ").replace("\r", " "))
# XML has no control characters, and its readers make white space within lines single
SEGMENT = st.lists(
    st.text(
        st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff\ufeff"),
        max_size=40,
    ).map(one_line),
    max_size=4,
).map(lambda found: "\n".join(found).strip("\n"))


def lists_of(text):
    row = st.tuples(text, text).map(lambda cells: dict(zip(COLUMNS, cells, strict=True)))
    return st.lists(row, min_size=1)


def jsonl(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def tsv(rows):
    lines = ["en\tuk", *("\t".join(row.values()) for row in rows)]
    return "\n".join(lines).encode()


def comma(rows):
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
    writer.writerows([COLUMNS, *(row.values() for row in rows)])
    return stream.getvalue().encode()


def parquet(rows):
    stream = io.BytesIO()
    table = pa.Table.from_pylist(rows, schema=pa.schema([(c, pa.string()) for c in COLUMNS]))
    pq.write_table(table, stream, row_group_size=2)
    return stream.getvalue()


def tmx(rows):
    units = (
        "".join(f'<tuv xml:lang="{k}"><seg>{escape(v)}</seg></tuv>' for k, v in row.items())
        for row in rows
    )
    return f"<tmx>{''.join(f'<tu>{unit}</tu>' for unit in units)}</tmx>".encode()


def xml(rows):
    sides = (
        f'<{tag} lang="{code}">'
        + "".join(f'<seg id="{i}">{escape(row[code])}</seg>' for i, row in enumerate(rows))
        + f"</{tag}>"
        for tag, code in (("src", "en"), ("ref", "uk"))
    )
    return f'<dataset id="x"><doc id="d">{"".join(sides)}</doc></dataset>'.encode()


FORMATS = {
    "jsonl": (ANYTHING, jsonl),
    "json": (ANYTHING, lambda rows: json.dumps(rows, indent=1).encode()),
    "tsv": (CELL, tsv),
    "csv": (TEXT, comma),
    "parquet": (ANYTHING, parquet),
    "tmx": (SEGMENT, tmx),
    "xml": (SEGMENT, xml),
}


COMPRESSIONS = {
    "": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd,
    ".zip": zipped,
}  # fmt: skip
FAST = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("name", FORMATS)
@FAST
@given(data=st.data(), chunk=st.sampled_from([1, 2, 7, 64, 1 << 20]))
def test_rows_come_back(tmp_path, monkeypatch, name, compression, data, chunk):
    monkeypatch.setattr(byte_streams, "CHUNK", chunk)
    text, write = FORMATS[name]
    rows = data.draw(lists_of(text))
    content = write(rows)
    # line ends of every format are LF, without blank lines around a text
    rows = [{column: as_read(text) for column, text in row.items()} for row in rows]
    path = tmp_path / f"a.{name}{compression}"
    pack = COMPRESSIONS[compression]
    path.write_bytes(zipped(content, f"a.{name}") if pack is zipped else pack(content))
    assert all_rows(str(path), COLUMNS) == rows
    assert all_rows(str(path), COLUMNS[1:]) == [{"uk": row["uk"]} for row in rows]


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@FAST
@given(data=st.data(), chunk=st.sampled_from([1, 3, 1 << 20]))
def test_lines_come_back(tmp_path, monkeypatch, compression, encoding, end, data, chunk):
    monkeypatch.setattr(byte_streams, "CHUNK", chunk)
    rows = data.draw(lists_of(LINE))
    paths = {}
    for column in COLUMNS:
        path = tmp_path / f"a.{column}{compression}"
        text = "".join(f"{row[column]}{end}" for row in rows)
        path.write_bytes(COMPRESSIONS[compression](text.encode(encoding)))
        paths[column] = str(path)
    assert all_rows(paths, COLUMNS) == rows


@FAST
@given(rows=lists_of(SEGMENT))
def test_sgm_comes_back(tmp_path, rows):
    paths = {}
    for column in COLUMNS:
        path = tmp_path / f"a.{column}.sgm"
        segments = "\n".join(f'<seg id="{i}">{escape(r[column])}</seg>' for i, r in enumerate(rows))
        path.write_text(f'<srcset>\n<doc docid="d">\n{segments}\n</doc>\n</srcset>\n', "utf-8")
        paths[column] = str(path)
    found = all_rows(paths, [*COLUMNS, "document"])
    # its lines are joined
    rows = [{column: one_line(text) for column, text in row.items()} for row in rows]
    assert found == [{**row, "document": "d"} for row in rows]
