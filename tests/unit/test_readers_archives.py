"""Compressed files and archives: what is read, and what is refused because it is damaged, expands
too far or is something else."""

import gzip
import io
import lzma
import os
import tarfile

import pytest
from reader_factory import PACK, ZSTD, archive, put, refused
from records_factory import make_study

from mtray.data.readers import byte_streams, lines
from mtray.data.readers.sources import all_rows
from mtray.data.store import check_files
from mtray.errors import DataError
from mtray.schema import AbilitySpec, Evaluation, QualitySet, Source


@pytest.mark.parametrize("kind", PACK)
def test_what_is_compressed_needs_no_suffix(tmp_path, kind):
    assert all_rows(put(tmp_path, "a", PACK[kind](b"x\ny\n")), ["text"]) == [
        {"text": "x"},
        {"text": "y"},
    ]


@pytest.mark.parametrize("kind", PACK)
def test_a_suffix_that_is_wrong(tmp_path, kind):
    message = rf"not a readable {kind} archive: its first bytes are not those of one"
    refused(put(tmp_path, f"a.txt.{kind}", "<html>not found</html>"), message)


@pytest.mark.parametrize("kind", PACK)
def test_an_archive_that_was_cut(tmp_path, kind):
    text = b"".join(b"%d\n" % (i * 7919 % 1_000_003) for i in range(50_000))
    whole = PACK[kind](text)
    path = put(tmp_path, f"a.txt.{kind}", whole[: len(whole) * 9 // 10])
    place = "" if kind == "zip" else r"\d{4,}:"  # zip has its list of members at the end
    refused(path, rf"a\.txt\.{kind}:{place} not a readable {kind} archive")


@pytest.mark.parametrize("kind", PACK)
def test_an_archive_that_is_damaged_within(tmp_path, kind):
    text = b"".join(b"%d\n" % (i * 7919 % 1_000_003) for i in range(20_000))
    # Arrow writes zst without a check sum, which no reader could hold against it
    whole = bytearray(ZSTD if kind == "zst" else PACK[kind](text))
    assert whole != ZSTD or all_rows(put(tmp_path, "a", ZSTD), ["text"])[1] == {"text": "welt"}
    whole[len(whole) // 2] ^= 0x05
    refused(put(tmp_path, f"a.txt.{kind}", bytes(whole)), "not a readable|not valid UTF-8|damaged")


@pytest.mark.parametrize("kind", PACK)
def test_an_archive_that_expands_too_far(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(byte_streams, "LEAST_SUSPECT", 1 << 20)
    path = put(tmp_path, f"a.txt.{kind}", PACK[kind](b"a\n" * (1 << 20)))
    refused(path, r":\d{4,}: [\d,]+ bytes expand to over [\d,]+; refused: .* 250 times as many")


@pytest.mark.parametrize("kind", PACK)
def test_an_archive_that_is_too_large(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(byte_streams, "MOST_BYTES", 1000)
    path = put(tmp_path, f"a.txt.{kind}", PACK[kind](os.urandom(400).hex().encode() * 2))
    refused(path, "refused: the limit is 1,000")


def test_several_streams_in_one_file(tmp_path):
    for kind in ("gz", "bz2", "xz", "zst"):
        parts = [PACK[kind](f"{i}\n".encode() * 10) for i in range(3)]
        rows = all_rows(put(tmp_path, f"a.txt.{kind}", b"".join(parts)), ["text"])
        assert [row["text"] for row in rows] == ["0"] * 10 + ["1"] * 10 + ["2"] * 10
    padded = put(tmp_path, "b.txt.xz", PACK["xz"](b"x\n") + b"\0" * 8 + PACK["xz"](b"y\n"))
    assert len(all_rows(padded, ["text"])) == 2


def test_xz_that_asks_for_too_much_memory(tmp_path):
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}]
    packed = lzma.compress(b"x\n", filters=filters)
    refused(put(tmp_path, "a.txt.xz", packed), "not a readable xz archive: Memory usage limit")


def test_members_of_an_archive(tmp_path):
    path = put(tmp_path, "a.zip", archive({"x/t.de": "Ja.\n", "x/t.en": "Yes.\n", "README": "r"}))
    pair = {"de": f"{path}/x/t.de", "en": f"{path}/x/t.en"}
    assert all_rows(pair, ["de", "en"]) == [{"de": "Ja.", "en": "Yes."}]
    refused(path, r"expected one file in the archive, found 3; it contains x/t.de, x/t.en, README")
    with pytest.raises(DataError, match=r"expected a member 'x/t.fr' in the archive, found 0"):
        all_rows(f"{path}/x/t.fr", ["text"])
    with pytest.raises(DataError, match=r"b\.zip/x: no such file"):
        all_rows(str(tmp_path / "b.zip" / "x"), ["text"])
    one = archive({"t.tsv": "text\tb\nx\ty\n", "LICENSE": "l", "__MACOSX/t.tsv": "junk"})
    assert all_rows(put(tmp_path, "c.zip", one), ["text"]) == [{"text": "x"}]


@pytest.mark.parametrize(
    "name", ["../../evil.tsv", "/etc/evil.tsv", "..\\evil.tsv", "C:\\evil.tsv", "./a/../evil.tsv"]
)
def test_members_with_odd_paths_are_only_read(tmp_path, name):
    inner = tmp_path / "deep" / "er"
    inner.mkdir(parents=True)
    path = put(inner, "a.zip", archive({name: "text\tb\nx\ty\n"}))
    assert all_rows(path, ["text"]) == [{"text": "x"}]
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["a.zip"]


def test_archives_that_are_refused(tmp_path):
    link = archive({"a.tsv": "/etc/passwd"}, links=["a.tsv"])
    refused(put(tmp_path, "a.zip", link), "a.tsv is a link, which is refused")
    refused(
        put(tmp_path, "b.zip", archive({"b.zip": archive({"c": "x"})})), "an archive within an arch"
    )
    locked = archive({"a.tsv": "text\tb\n"})
    locked = locked.replace(b"PK\1\2\x14\x03\x14\0\0", b"PK\1\2\x14\x03\x14\0\1")
    refused(put(tmp_path, "c.zip", locked), "not a readable zip archive: .*encrypted")
    refused(put(tmp_path, "d.zip", archive({"a/": ""})), "found 0; it contains nothing")
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as made:
        made.addfile(tarfile.TarInfo("x"))
    refused(put(tmp_path, "e.tgz", tar.getvalue()), "a tar archive; unpack it")


def test_compressed_within_an_archive(tmp_path, monkeypatch):
    monkeypatch.setattr(byte_streams, "LEAST_SUSPECT", 1 << 20)
    inside = gzip.compress(b'{"text": "x"}\n')
    assert all_rows(put(tmp_path, "a.zip", archive({"a.jsonl.gz": inside})), ["text"]) == [
        {"text": "x"}
    ]
    bomb = archive({"a.txt.gz": gzip.compress(gzip.compress(b"a\n" * (1 << 20)))})
    refused(put(tmp_path, "b.zip", bomb), "not valid UTF-8")
    bomb = archive({"a.txt.gz": gzip.compress(b"a\n" * (1 << 20))})
    refused(put(tmp_path, "c.zip", bomb), "250 times as many")


def test_every_file_of_a_study_may_be_in_an_archive(tmp_path):
    path = put(tmp_path, "a.zip", archive({"t.de": "Ja.\n", "t.en": "Yes.\n", "a.jsonl": "{}"}))
    pair = {"de": f"{path}/t.de", "en": f"{path}/t.en"}
    quality = QualitySet(direction="de-en", path=pair)
    ability = AbilitySpec(measure="choice", path=f"{path}/a.jsonl")
    evaluation = Evaluation(comet="none", quality=(quality,), abilities={"choice": ability})
    source = Source(name="pairs", kind="parallel", languages=("de", "en"), path=pair)
    check_files(make_study(sources=(source,), evaluation=evaluation))
    named = source.model_copy(update={"path": "hf:nobody/nothing"})
    check_files(
        make_study(
            sources=(source, named.model_copy(update={"name": "hub"})), evaluation=evaluation
        )
    )
    absent = source.model_copy(update={"path": str(tmp_path / "b.zip" / "x.tsv")})
    with pytest.raises(DataError, match=r"b\.zip/x\.tsv: no such file"):
        check_files(make_study(sources=(absent,), evaluation=evaluation))


def test_limits_are_as_the_readme_says():
    assert (byte_streams.MOST_RATIO, byte_streams.LEAST_SUSPECT >> 20) == (250, 16)
    assert (byte_streams.MOST_BYTES >> 30, lines.MOST_LINE >> 20) == (128, 64)
