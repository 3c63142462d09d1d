"""Files as people bring them (`brought_files`), and folders that are no data set."""

import gzip
import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from brought_files import BOMBS, BROUGHT
from reader_factory import PACK, archive, put
from records_factory import make_study

from mtray.data.benchmarks.glossary import read_glossary
from mtray.data.content_hashes import content_hash
from mtray.data.readers import folders
from mtray.data.readers.remarks import Remarks, collected
from mtray.data.readers.sources import all_rows, stream_columns
from mtray.data.readers.xml_characters import Cleaner
from mtray.data.store import check_files
from mtray.errors import DataError
from mtray.evaluation.abilities.base import Context
from mtray.evaluation.abilities.questions import Question, read_questions
from mtray.schema import AbilitySpec, Evaluation, QualitySet, Source


@pytest.mark.parametrize("brought", BROUGHT, ids=lambda brought: brought.id)
def test_what_people_bring(tmp_path, brought):
    path, remarks = put(tmp_path, brought.file, brought.bytes()), Remarks()
    rows = stream_columns(path, brought.columns, remarks=remarks)
    if brought.message:
        with pytest.raises(DataError, match=brought.message) as raised:
            list(rows)
        assert str(raised.value).startswith(path)
    else:
        assert [tuple(row[c] for c in brought.columns) for row in rows] == list(brought.rows)
    found = remarks.lines()
    assert len(found) == len(brought.remarks)
    for line, expected in zip(found, brought.remarks, strict=True):
        assert re.match(f"{re.escape(path)}: {expected}", line)


def test_every_row_of_the_table_is_one_of_its_own():
    assert len({brought.id for brought in BROUGHT}) == len(BROUGHT)
    assert all(bool(b.message) != bool(b.rows) for b in BROUGHT)


@pytest.mark.parametrize("brought", BOMBS[:3], ids=lambda brought: brought.id)
def test_what_expands_too_far_is_refused_before_memory_is_allocated(tmp_path, brought):
    """The rows would fill 1 TB; the file has less than 5 kB, but for its indices."""
    path = put(tmp_path, brought.file, brought.bytes())
    default = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(default)
    pa.set_memory_pool(pool)
    try:
        with pytest.raises(DataError, match="refused"):
            all_rows(path, brought.columns)
    finally:
        pa.set_memory_pool(default)
    assert 0 < pool.max_memory() < 100 << 20


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_forbidden_characters_are_found_wherever_a_file_is_cut(size):
    text = "a\x01&#31;b&amp;&#x1F;&#65;\ufffe\ufffd&#xD83D;é&\n\x0cc".encode()
    cleaner = Cleaner()
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    found = b"".join(cleaner.chunks(pieces)).decode()
    # U+001F and the form feed are white space, the others are not
    assert found == "a b&amp; &#65;\ufffdé&\n c"
    assert (cleaner.count, cleaner.first) == (6, 1)


QUESTION = {"question": "Which?", "choices": ["salt", "water"], "answer": 1}
LINE = json.dumps(QUESTION) + "\n"


@pytest.mark.parametrize("kind", PACK)
def test_questions_and_glossaries_are_compressed_like_corpora(tmp_path, kind):
    pack = {"zip": lambda data, name: archive({name: data})}.get(
        kind, lambda data, name: PACK[kind](data)
    )
    questions = put(tmp_path, f"q.jsonl.{kind}", pack(LINE.encode(), "q.jsonl"))
    spec = AbilitySpec(measure="choice", path=questions)
    context = Context("english", "labels", 16, None)
    assert read_questions(questions, spec, context) == [Question("Which?", ("salt", "water"), 1)]
    terms = put(tmp_path, f"g.csv.{kind}", pack(b"source,target\nmask,masque\n", "g.csv"))
    assert read_glossary(Path(terms), "en", "fr") == [("mask", "masque")]


def test_a_file_of_questions_in_a_larger_archive(tmp_path):
    path = put(tmp_path, "a.zip", archive({"x/q.jsonl": LINE, "x/r.jsonl": "", "x/g.tsv": "a\tb"}))
    spec = AbilitySpec(measure="choice", path=f"{path}/x/q.jsonl")
    found = read_questions(f"{path}/x/q.jsonl", spec, Context("english", "labels", 16, None))
    assert len(found) == 1
    with pytest.raises(DataError, match=r"unknown format '\.jsonl' of a glossary"):
        read_glossary(tmp_path / "a.zip" / "x" / "q.jsonl", "en", "fr")


def test_what_evaluation_files_leave_out_is_collected(tmp_path):
    path = put(tmp_path, "a.csv.gz", gzip.compress(b"text,b\nx,y\n"))
    tmx = put(tmp_path, "a.tmx", "<tmx><tu><tuv lang='text'><seg>a\x02</seg></tuv></tu></tmx>")
    with collected() as remarks:
        assert all_rows(path, ["text"]) == [{"text": "x"}]
        assert all_rows(tmx, ["text"]) == [{"text": "a"}]
    assert len(remarks.lines()) == 1 and "1 characters that XML forbids" in remarks.lines()[0]
    all_rows(tmx, ["text"])
    assert len(remarks.lines()) == 1, "outside of the context nothing is added"


def test_a_folder_is_not_walked_without_bound(tmp_path, monkeypatch):
    for place in ("a/b/c/train.parquet", "a/b/x.txt", "a/y.txt"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(b"")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path, target_is_directory=True)
    assert folders.data_files(tmp_path) == [tmp_path / "a/b/c/train.parquet"]
    # a, y.txt, b, x.txt, up, c, train.parquet
    monkeypatch.setattr(folders, "MOST_ENTRIES", 7)
    assert len(folders.data_files(tmp_path)) == 1
    monkeypatch.setattr(folders, "MOST_ENTRIES", 6)
    held = put(tmp_path / "a", "y.txt", "x")
    evaluation = Evaluation(
        comet="none",
        quality=(QualitySet(direction="de-en", path=held),),
        abilities={"choice": AbilitySpec(measure="choice", path=held)},
    )
    source = Source(name="x", kind="parallel", languages=("de", "en"), path=str(tmp_path))
    for act in (
        lambda: all_rows(str(tmp_path), ["text"]),
        lambda: all_rows(f"hf:{tmp_path}", ["text"]),
        lambda: content_hash(tmp_path),
        lambda: check_files(make_study(sources=(source,), evaluation=evaluation)),
    ):
        with pytest.raises(DataError, match="over 6 files and folders below it; name the folder"):
            act()
