"""Which format a file has, and where its columns are."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reader_factory import put, refused

from mtray.data.readers import byte_streams
from mtray.data.readers.options import ReadOptions
from mtray.data.readers.sources import all_rows, stream_columns

BY_CONTENT = {
    "tsv": "text\tb\nx\ty\n",
    "jsonl": '{"text": "x"}\n',
    "json": '[\n {"text": "x"}]',
    "tmx": '<?xml version="1.0"?><tmx><tu><tuv xml:lang="text"><seg>x</seg></tuv></tu></tmx>',
    "wmt-xml": '<dataset><doc id="d"><src lang="text"><seg id="1">x</seg></src></doc></dataset>',
    "sgm": '<srcset setid="a"><doc docid="d"><seg id="1">x</seg></doc></srcset>',
    "text": "x\n",
}


@pytest.mark.parametrize("name", ["a", "a.txt", "a.en"])
@pytest.mark.parametrize("kind", BY_CONTENT)
def test_the_content_tells_what_the_name_does_not(tmp_path, kind, name):
    path = put(tmp_path, name, BY_CONTENT[kind])
    assert all_rows(path, ["text"]) == [{"text": "x"}]
    assert list(stream_columns(path, ["text"], ReadOptions(format=kind))) == [{"text": "x"}]


def test_content_of_several_columns(tmp_path):
    rows = [{"a": "x", "b": "y"}]
    assert all_rows(put(tmp_path, "c", "a,b\nx,y\n"), ["a", "b"]) == rows
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d")
    assert all_rows(str(tmp_path / "d"), ["a", "b"]) == rows
    assert all_rows(put(tmp_path, "e.json", '{"a": "x"}\n{"a": "y"}\n'), ["a"])[1] == {"a": "y"}
    xml = BY_CONTENT["tmx"]
    assert all_rows(put(tmp_path, "f.xml", xml), ["text"]) == [{"text": "x"}]
    refused(put(tmp_path, "g.xml", "<html/ >"), "the first element is <html>; known: tmx, dataset")
    refused(put(tmp_path, "h", "x\ny\n"), "unknown format ''", ["a", "b"])


@pytest.mark.parametrize("text", ["text,a", '{"text": 1}', '[{"text"', "a,,b", "<b>x</b>", "\t"])
def test_a_file_of_one_language_is_lines_whatever_they_hold(tmp_path, text):
    path = put(tmp_path, "a.en", f"{text}\n")
    assert all_rows({"en": path}, ["en"]) == [{"en": text}]


def test_a_table_is_no_file_of_one_language(tmp_path):
    path = put(tmp_path, "a.tsv", "en\nx\n")
    refused({"en": path}, r"a\.tsv: tsv; a file for each language is plain text or SGM", ["en"])


def test_columns_by_number(tmp_path):
    path = put(tmp_path, "a.tsv", "Go.\tГеть!\tCC-BY\nHi.\tПривіт.\tCC-BY\n")
    assert all_rows(path, ["#1", "#2"])[1] == {"#1": "Hi.", "#2": "Привіт."}
    assert all_rows(put(tmp_path, "b", "Go.\tГеть!\n"), ["#2"]) == [{"#2": "Геть!"}]
    refused(path, r"a\.tsv:1: 3 fields, but #4 is requested", ["#1", "#4"])
    refused(put(tmp_path, "c.tsv", "a\tb\na\n"), r"c\.tsv:2: expected 2 fields, found 1", ["#1"])
    refused(put(tmp_path, "d.tsv", "a\ta\nx\ty\n"), r"column 'a' occurs 2 times", ["a"])


NESTED = {"translation": {"de": "Ja.", "en": "Yes."}, "a.b": "x", "n": 7, "chat": [{"text": "t"}]}


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_columns_within_objects(tmp_path, suffix):
    path = str(tmp_path / f"a{suffix}")
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([NESTED]), path)
    else:
        put(tmp_path, f"a{suffix}", json.dumps(NESTED if suffix == ".jsonl" else [NESTED]))
    columns = ["translation.de", "en", "a.b", "chat.0.text"]
    assert list(all_rows(path, columns)[0].values()) == ["Ja.", "Yes.", "x", "t"]
    assert list(stream_columns(path, ["n"], ReadOptions(labels=("n",)))) == [{"n": "7"}]
    for column in ("translation", "translation.fr", "chat.1.text", "n"):
        refused(path, f"{column}'", [column])


WRONG_JSON = [
    ('[{"text": "a"},\n{"text": "b"', r":2: not JSON"),
    ('[{"text": "a"}\n{"text": "b"}]', r":2: not JSON: expecting ',' or '\]'"),
    ('[{"text": "a"}]\nx', r":2: not JSON: extra data"),
    ('[{"text": "a"},\n]', r":2: not JSON"),
    ('[\n"a"]', r":2: expected an object, found str"),
    ('[{"text": "a"},\n 17]', r":2: expected an object, found number"),
    ('[\n{"text": "\\ud83d"}]', r":2: an unpaired surrogate \(\\ud83d\) under 'text'"),
    ('[\n{"text": ' + "[" * 100_000, r":2: not JSON that can be read: nested too deeply"),
    ('[{"text": "a",\n"n": ' + "9" * 5000 + "}]", r":1: not JSON that can be read: Exceeds"),
    ('[{"text": "a\n"}]', r":1: not JSON: Invalid control character"),
]


@pytest.mark.parametrize("text, message", WRONG_JSON, ids=range(len(WRONG_JSON)))
@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_wrong_json(tmp_path, monkeypatch, text, message, chunk):
    monkeypatch.setattr(byte_streams, "CHUNK", chunk)
    refused(put(tmp_path, "a.json", text), rf"a\.json{message}")


def test_wrong_jsonl(tmp_path):
    head = '{"text": null}\n'
    for line, message in {
        "[" * 100_000: "nested too deeply",
        '{"text": "\\udc00"}': "an unpaired surrogate",
        '{"text": 1}': "no text under 'text' but int",
        "17": "expected an object, found int",
    }.items():
        refused(put(tmp_path, "a.jsonl", head + line), rf"a\.jsonl:2: .*{message}")


def test_json_over_many_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(byte_streams, "CHUNK", 1000)
    rows = [{"text": f"\u20ac\\u {i} " * i} for i in range(200)]
    for indent in (None, 2):
        path = put(tmp_path, "a.json", json.dumps(rows, indent=indent))
        assert all_rows(path, ["text"]) == rows
