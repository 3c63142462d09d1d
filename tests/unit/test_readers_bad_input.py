"""What may be wrong with a file: it is read as it is meant, or refused with place and reason."""

import codecs
import errno
import gzip
import io
import json
import lzma
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reader_factory import PACK, put, refused

from mtray.data.readers.options import ReadOptions
from mtray.data.readers.sources import all_rows, stream_columns
from mtray.errors import ConfigError, DataError


def test_mixed_encodings(tmp_path):
    text = "schön\n".encode() * 70_000 + "schön\n".encode("latin-1") + "schön\n".encode()
    refused(put(tmp_path, "a.txt", text), r"a\.txt:70001: not valid UTF-8 \(byte 0xf6\)")
    packed = put(tmp_path, "a.txt.gz", gzip.compress(text))
    refused(packed, r"a\.txt\.gz:70001: not valid UTF-8")


def test_byte_order_marks_of_other_encodings(tmp_path):
    text = "en\tuk\na\tтак\n"
    for encoding, mark in (("utf-16-le", codecs.BOM_UTF16_LE), ("utf-16-be", codecs.BOM_UTF16_BE)):
        path = put(tmp_path, "a.tsv", mark + text.encode(encoding))
        assert all_rows(path, ["uk"]) == [{"uk": "так"}]
        path = put(tmp_path, "b.tsv", mark + text.encode(encoding) + b"\x00")
        refused(path, r"b\.tsv:3: not valid UTF-16", ["uk"])
    refused(put(tmp_path, "c.tsv", text.encode("utf-32")), r"c\.tsv:1: UTF-32", ["uk"])
    refused(put(tmp_path, "d.tsv", text.encode("utf-16-le")), r"d\.tsv:1: a NUL byte", ["uk"])


@pytest.mark.parametrize("suffix", [".txt", ".tsv", ".csv", ".jsonl", ".json"])
def test_nul_bytes(tmp_path, suffix):
    content = {".jsonl": '{"text": "a"}\n', ".json": '[{"text": "a"},\n'}.get(suffix, "text\n")
    path = put(tmp_path, f"a{suffix}", content.encode() + b"x\0y\n")
    refused(path, rf"a\{suffix}:2: a NUL byte")


LONG = "ein Wort " * 150_000  # 1.35 million characters
WIDE = {
    ".txt": LONG,
    ".tsv": f"text\tb\n{LONG}\tx\n",
    ".csv": f'text,b\n"{LONG}",x\n',
    ".jsonl": json.dumps({"text": LONG}),
    ".json": json.dumps([{"text": LONG}] * 2),
    ".tmx": f'<tmx><tu><tuv xml:lang="text"><seg>{LONG}</seg></tuv></tu></tmx>',
    ".sgm": f"<srcset><doc docid='a'><seg id='1'>{LONG}</seg></doc></srcset>",
}


@pytest.mark.parametrize("suffix", WIDE)
def test_lines_of_more_than_a_megabyte(tmp_path, suffix):
    rows = all_rows(put(tmp_path, f"a{suffix}", WIDE[suffix]), ["text"])
    assert rows[0]["text"].strip() == LONG.strip()


@pytest.mark.parametrize("suffix", WIDE)
def test_a_line_without_an_end_is_refused(tmp_path, monkeypatch, suffix):
    for module in ("lines", "objects", "tables", "wmt_files"):
        monkeypatch.setattr(f"mtray.data.readers.{module}.MOST_LINE", 1 << 19)
    monkeypatch.setattr("mtray.data.readers.tmx.MOST_LINE", 1 << 19)
    path = put(tmp_path, f"a{suffix}", WIDE[suffix])
    refused(path, rf"a\{suffix}:\d: .*(of over 524,288 characters|field limit)")


def test_a_quote_that_is_never_closed(tmp_path):
    path = put(tmp_path, "a.csv", 'text,b\nx,y\n"open,y\n' + "x,y\n" * 5)
    refused(path, r"a\.csv:8: unexpected end of data \(in the record that begins in line 3\)")


def test_a_file_that_is_empty(tmp_path):
    for suffix in (".txt", ".jsonl"):
        refused(put(tmp_path, f"a{suffix}", b""), r"the corpus is empty \(0 rows")
    for suffix in (".csv", ".tsv"):
        refused(put(tmp_path, f"a{suffix}", b""), r"no column 'text'; columns there: none")
    for suffix, reason in {
        ".json": "not JSON",
        ".tmx": "not XML",
        ".sgm": "corpus is empty",
    }.items():
        refused(put(tmp_path, f"a{suffix}", b""), reason)
    refused(put(tmp_path, "a.xml", b""), "the first element is <>")
    refused(put(tmp_path, "a.parquet", b""), "not a readable Parquet file")
    for suffix in PACK:
        refused(put(tmp_path, f"a.txt.{suffix}", b""), f"not a readable {suffix} archive")
    refused({"text": put(tmp_path, "a.en", b"")}, "the corpus is empty")


def test_a_folder_is_no_file(tmp_path):
    refused(str(tmp_path), "a folder; expected a file, or a data set")
    refused({"text": str(tmp_path)}, "a folder; expected a file")
    with pytest.raises(ConfigError, match="`split` is only for data sets, and this is a file"):
        list(stream_columns(put(tmp_path, "a.txt", "x"), ["text"], ReadOptions(split="train")))


def test_unequal_lengths_of_compressed_files(tmp_path):
    paths = {
        "en": put(tmp_path, "a.en.gz", gzip.compress(b"x\n" * 5)),
        "uk": put(tmp_path, "a.uk.xz", lzma.compress(b"x\n" * 7)),
    }
    rows = stream_columns(paths, ["en", "uk"])
    assert len([next(rows) for _ in range(5)]) == 5
    with pytest.raises(DataError, match=r"a\.en\.gz has 5 lines, .*a\.uk\.xz has 7 lines"):
        next(rows)


def test_parquet_that_is_refused(tmp_path):
    path = str(tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["a"], "p": [b"x"]}), path)
    refused(path, r"no column 'en'; columns there: text, p", ["en"])
    refused(path, r"column 'p' holds binary, expected text", ["p"])
    packed = put(tmp_path, "b.parquet.gz", gzip.compress((tmp_path / "a.parquet").read_bytes()))
    assert all_rows(packed, ["text"]) == [{"text": "a"}]
    refused(packed, r"no column 'en'", ["en"])
    bomb = str(tmp_path / "c.parquet")
    table = pa.table({"text": ["x" * (1 << 20) for _ in range(40)]})
    pq.write_table(table, bomb, compression="zstd", use_dictionary=False)
    refused(bomb, r"bytes expand to [\d,]+; refused: the limit is 250 times as many")


def test_parquet_of_words_that_repeat_is_no_bomb(tmp_path):
    path = str(tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": pa.array(["ja"] * 200_000).dictionary_encode()}), path)
    assert len(all_rows(path, ["text"])) == 200_000


class LostFile(io.BufferedReader):
    """Of a file system that is gone after so many bytes."""

    left = 0

    def __init__(self, path):
        super().__init__(io.FileIO(path))

    def peek(self, size=0):
        return super().peek(size) if self.left else self._gone()

    def read(self, size=-1):
        self.left -= size
        return super().read(size) if self.left > 0 else self._gone()

    def _gone(self):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))


@pytest.mark.parametrize("left", [0, 1, 1 << 20])
@pytest.mark.parametrize("suffix", [".txt", ".tsv", ".jsonl"])
def test_a_file_that_is_lost_while_it_is_read(left, suffix, tmp_path, monkeypatch):
    """Such as one on a network file system."""
    line = {".txt": "a text", ".tsv": "text\tb", ".jsonl": '{"text": "a text"}'}[suffix]
    path = put(tmp_path, f"a{suffix}", f"{line}\n".encode() * 400_000)
    monkeypatch.setattr(LostFile, "left", left)
    monkeypatch.setattr(Path, "open", lambda self, mode: LostFile(str(self)))
    with pytest.raises(DataError, match=rf"a\{suffix}: cannot be read: Stale file handle"):
        all_rows(path, ["text"])


def test_a_file_that_may_not_be_opened(tmp_path, monkeypatch):
    def refuse(self, mode):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    path = put(tmp_path, "a.txt", b"text\n")
    monkeypatch.setattr(Path, "open", refuse)
    refused(path, r"a\.txt: cannot be read: Permission denied")
