"""Readers: every format ends as the same rows, every damage as a DataError that says where."""

import io
import json
import re
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtray.data.readers.lines import read_lines
from mtray.data.readers.sources import read_columns
from mtray.errors import DataError

ROWS = [{"en": 'Say "hi".', "uk": "Скажи «привіт»."}, {"en": "a, b", "uk": "а, б"}]
BOM = b"\xef\xbb\xbf"


def separated(separator, quote):
    def cell(text):
        return '"' + text.replace('"', '""') + '"' if quote else text

    lines = [["uk", "en", "more"], *([r["uk"], r["en"], "x"] for r in ROWS)]
    return "".join(separator.join(map(cell, line)) + "\n" for line in lines)


def tmx():
    variants = [[f'<tuv xml:lang="{k}"><seg>{v}</seg></tuv>' for k, v in r.items()] for r in ROWS]
    units = [f"<tu>{''.join(found)}</tu>" for found in variants]
    return f"<tmx><body>{''.join(units)}</body></tmx>"


def zipped(name, text):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, text)
    return stream.getvalue()


WRITTEN = {
    ".jsonl": "".join(json.dumps({**r, "n": 1}) + "\n\n" for r in ROWS),
    ".json": json.dumps([{**r, "n": 1} for r in ROWS]),
    ".tsv": separated("\t", quote=False),
    ".csv": separated(",", quote=True),
    ".tmx": tmx(),
    ".zip": zipped("a.tmx", tmx()),
}


FORMATS = (".parquet", *WRITTEN)


def put(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def written(folder, suffix):
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([{**r, "n": 1} for r in ROWS]), folder / "a.parquet")
        return str(folder / "a.parquet")
    return put(folder, f"a{suffix}", WRITTEN[suffix])


def line_parallel(folder, english, ukrainian):
    return {"en": put(folder, "a.en", english), "uk": put(folder, "a.uk", ukrainian)}


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path, suffix):
    path = written(tmp_path, suffix)
    assert read_columns(path, ["en", "uk"]) == ROWS
    assert read_columns(path, ["uk"]) == [{"uk": row["uk"]} for row in ROWS]
    with pytest.raises(DataError, match=re.escape(path)) as error:
        read_columns(path, ["en", "de"])
    assert "'de'" in str(error.value) and "uk" in str(error.value)


@pytest.mark.parametrize("suffix", [*FORMATS, ".txt"])
def test_a_missing_file_is_named(tmp_path, suffix):
    with pytest.raises(DataError, match=rf"nowhere\{suffix}: no such file"):
        read_columns(str(tmp_path / f"nowhere{suffix}"), ["en"])


def test_line_parallel_text(tmp_path):
    paths = line_parallel(tmp_path, "a\nb\n", "а\nб")
    assert read_columns(paths, ["en", "uk"]) == [{"en": "a", "uk": "а"}, {"en": "b", "uk": "б"}]
    assert read_columns(paths["en"], ["text"]) == [{"text": "a"}, {"text": "b"}]
    with pytest.raises(DataError, match="no column 'de'; columns there: en, uk"):
        read_columns(paths, ["en", "de"])


def test_unequal_lines_name_both_counts(tmp_path):
    paths = line_parallel(tmp_path, "a\nb\nc\n", "а\nб\n")
    with pytest.raises(DataError, match=r"a\.en has 3 lines, .*a\.uk has 2 lines"):
        read_columns(paths, ["en", "uk"])


def test_wmt_json(tmp_path):
    path = put(tmp_path, "wmt.json", json.dumps([{"translation": r} for r in ROWS]))
    assert read_columns(path, ["en", "uk"]) == ROWS


EMPTY = {".txt": "", ".tsv": "en\tuk\n", ".csv": "en,uk\n", ".jsonl": "\n", ".json": "[]"}


@pytest.mark.parametrize("suffix", EMPTY)
def test_an_empty_corpus_is_an_error(tmp_path, suffix):
    path = put(tmp_path, f"a{suffix}", EMPTY[suffix])
    with pytest.raises(DataError, match=r"the corpus is empty \(0 rows"):
        read_columns(path, ["en"])


def test_rows_with_an_empty_field_are_left_out(tmp_path):
    path = put(tmp_path, "a.tsv", "en\tuk\na\t \n\tб\nc\tв\n")
    assert read_columns(path, ["en", "uk"]) == [{"en": "c", "uk": "в"}]
    assert len(read_columns(path, ["en"])) == 2
    blank = line_parallel(tmp_path, "a\n\n", "\nб\n")
    with pytest.raises(DataError, match=r"a\.en, .*a\.uk: the corpus is empty \(2 rows"):
        read_columns(blank, ["en", "uk"])


def test_an_empty_line_keeps_its_place(tmp_path):
    """Else every pair after it would be misaligned."""
    paths = line_parallel(tmp_path, "a\n\nc\n", "а\nб\nв\n")
    assert read_columns(paths, ["en", "uk"]) == [{"en": "a", "uk": "а"}, {"en": "c", "uk": "в"}]


@pytest.mark.parametrize("head", [b"", BOM])
@pytest.mark.parametrize("bad", [b"\xff", b"\xc3\n"])
def test_invalid_utf8_is_named_by_its_line(tmp_path, head, bad):
    path = put(tmp_path, "a.txt", head + "так\n".encode() * 2 + b"x" + bad)
    with pytest.raises(DataError, match=rf"a\.txt:3: not valid UTF-8 \(byte 0x{bad[0]:02x}\)"):
        read_columns(path, ["text"])


@pytest.mark.parametrize("bad", [b"\xffx\n", b"\n\xffx"])
def test_an_invalid_byte_next_to_a_byte_order_mark(tmp_path, bad):
    path = put(tmp_path, "a.txt", BOM + bad)
    with pytest.raises(DataError, match=rf"a\.txt:{1 + bad.index(0xFF)}: .*0xff"):
        read_columns(path, ["text"])


@pytest.mark.parametrize("suffix", [*(s for s in WRITTEN if s != ".zip"), ".txt"])
def test_a_byte_order_mark_is_no_text(tmp_path, suffix):
    path = put(tmp_path, f"a{suffix}", BOM + WRITTEN.get(suffix, "en\n").encode())
    assert read_columns(path, ["en"])[0]["en"] in (ROWS[0]["en"], "en")


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
def test_windows_line_ends(tmp_path, suffix):
    path = put(tmp_path, f"a{suffix}", WRITTEN[suffix].replace("\n", "\r\n"))
    assert read_columns(path, ["uk", "en"]) == ROWS
    assert read_lines(Path(put(tmp_path, "a.txt", "a\r\nb\r\n"))) == ["a", "b"]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1e"])
@pytest.mark.parametrize("suffix", [".txt", ".tsv", ".csv", ".jsonl"])
def test_only_line_feeds_end_a_line(tmp_path, suffix, separator):
    """`str.splitlines` would cut here, and every following pair would be misaligned."""
    text = f"a{separator}b"
    head = {".tsv": "en\n", ".csv": "en\n"}.get(suffix, "")
    line = json.dumps({"en": text}, ensure_ascii=False) if suffix == ".jsonl" else text
    path = put(tmp_path, f"a{suffix}", f"{head}{line}\n")
    assert read_columns(path, ["en"]) == [{"en": text}]


def test_quotes_in_tsv_are_text(tmp_path):
    path = put(tmp_path, "a.tsv", 'en\tuk\n"a\tа\n"b"\t"б\n')
    assert read_columns(path, ["en", "uk"]) == [{"en": '"a', "uk": "а"}, {"en": '"b"', "uk": '"б'}]


def test_a_quoted_field_of_csv_may_hold_a_line_end(tmp_path):
    path = put(tmp_path, "a.csv", 'en,uk\n"a\nb",а\nc\n')
    with pytest.raises(DataError, match=r"a\.csv:4: expected 2 fields"):
        read_columns(path, ["en", "uk"])
    path = put(tmp_path, "b.csv", 'en,uk\n"a\nb",а\n')
    assert read_columns(path, ["en"]) == [{"en": "a\nb"}]


DAMAGED = [
    ("a.tsv", "en\tuk\na\tа\nb\n", ":3: expected 2 fields"),
    ("a.tsv", "en\tuk\na\tа\tx\n", ":2: expected 2 fields"),
    ("a.tsv", "en\tuk\na\rb\tа\n", ":2: new-line character"),
    ("a.csv", 'en,uk\na,а\n"b,б\nc,в\n', ":4: unexpected end of data"),
    ("a.tsv", "", ": no column 'en'; columns there: none"),
    ("a.jsonl", '{"en": "a", "uk": "b"}\n\n["a"]\n', ":3: expected an object, found list"),
    ("a.jsonl", '{"en": "a"}\n', ":1: no text under 'uk'; keys there: en"),
    ("a.jsonl", '{"en": "a", "uk": 3}\n', ":1: no text under 'uk'"),
    ("a.jsonl", '{"en": "a", "uk": "b"}\n{"en"\n', ":2: not JSON"),
    ("a.json", '{"en": "a"}', ": expected a list of objects, found dict"),
    ("a.json", "[\n{]", ":2: not JSON"),
    ("a.json", '["a"]', ":1: expected an object, found str"),
    ("a.xlsx", "", ": unknown format '.xlsx'; known: .parquet, .jsonl"),
]


@pytest.mark.parametrize("name, content, message", DAMAGED)
def test_damage_is_named_with_its_place(tmp_path, name, content, message):
    path = put(tmp_path, name, content)
    with pytest.raises(DataError, match="^" + re.escape(path + message)):
        read_columns(path, ["en", "uk"])


def test_damaged_parquet(tmp_path):
    whole = Path(written(tmp_path, ".parquet")).read_bytes()
    flipped = whole[:4] + bytes(b ^ 0xFF for b in whole[4:80]) + whole[80:]
    for name, content in {"cut": whole[: len(whole) // 2], "none": b"", "flipped": flipped}.items():
        path = put(tmp_path, f"{name}.parquet", content)
        with pytest.raises(DataError, match=rf"{name}\.parquet: not a readable Parquet file"):
            read_columns(path, ["en", "uk"])


def test_parquet_cells_that_are_no_text(tmp_path):
    path = str(tmp_path / "a.parquet")
    pq.write_table(pa.table({"en": ["a", None, "c"], "n": [1, 2, 3]}), path)
    assert read_columns(path, ["en"]) == [{"en": "a"}, {"en": "c"}]
    with pytest.raises(DataError, match=r"a\.parquet: column 'n' holds int64, expected text"):
        read_columns(path, ["n"])
