"""What a store is known by: all that its tokens depend on, and nothing else."""

import os
from pathlib import Path

import pytest
from records_factory import make_study
from store_factory import a_source
from tiny_models import byte_level

from mtray.data import pipeline
from mtray.data.content_hashes import content_hash, tokenizer_hash
from mtray.data.pipeline import Pipeline
from mtray.data.token_files import (
    key_of,
)
from mtray.errors import DataError
from mtray.runtime import version_of
from mtray.schema import Filters, Source


@pytest.fixture(scope="module")
def tokenizer():
    return byte_level()


def test_the_key_is_of_what_the_tokens_hang_on(tmp_path, tokenizer):
    source = a_source(tmp_path)

    def key(source=source, tokenizer=tokenizer, **changes):
        return key_of(Pipeline(make_study(**changes), tokenizer).inputs(source))

    first = key()
    turned = source.model_copy(update={"languages": ("uk", "en")})
    none = Filters(leakage=None, shots_leakage=None)
    drawn = {"directions": {"en-uk": 1, "uk-en": 1}}
    training = make_study().training.model_copy(update={"max_length": 99})
    others = [
        key(turned),
        key(template="mfti"),
        key(training=training),
        key(filters=none.model_copy(update={"duplicates": "row"})),
        key(a_source(tmp_path, **drawn)),
        key(a_source(tmp_path, **drawn), seed=7),
        key(a_source(tmp_path, name="other", **drawn)),
    ]
    assert len({first, *others}) == len(others) + 1
    # nothing of these changes a row
    same = a_source(tmp_path, name="other", weight=3, max_repeats=2, licence="CC0-1.0")
    assert {key(seed=7), key(same), key(name="another")} == {first}
    Path(source.path).write_text(Path(source.path).read_text().replace("fed", "bed"))
    os.utime(source.path, ns=(1, 1))
    assert key() != first


VERSIONS = {
    # what a study, its source or its tokenizer uses: packages whose version is in the key then
    "nothing": ({}, {}, ()),
    "languages": ({"filters": {"wrong_language": "quick"}}, {}, ("lingua-language-detector",)),
    "near-duplicates": ({"filters": {"near_duplicates": 0.8}}, {}, ("numpy",)),
    "chat": ({}, {"chat_template": "{{ messages }}"}, ("jinja2",)),
    "a slow tokenizer": ({}, {"backend_tokenizer": None}, ("sentencepiece", "regex")),
}


class Slow:
    """A tokenizer with other attributes than the one that it stands for."""

    def __init__(self, tokenizer, attributes):
        self.__dict__.update(own=tokenizer, **attributes)

    def __getattr__(self, name):
        return getattr(self.own, name)


@pytest.mark.parametrize("case", VERSIONS)
def test_versions_are_part_of_the_key_where_they_change_a_token(
    tmp_path, tokenizer, monkeypatch, case
):
    keys, attributes, used = VERSIONS[case]
    source, looks = a_source(tmp_path, **keys), Slow(tokenizer, attributes)

    def key():
        return key_of(Pipeline(make_study(), looks).inputs(source))

    first = key()
    every = {*pipeline.VERSIONS, "unicode", "datasets", *(p for *_, some in VERSIONS.values()
                                                          for p in some)}  # fmt: skip
    for package in sorted(every):
        with monkeypatch.context() as patch:
            if package == "unicode":
                patch.setattr(pipeline, "unidata_version", "99")
            else:
                patch.setattr(
                    pipeline,
                    "version_of",
                    lambda name, changed=package: "99" if name == changed else version_of(name),
                )
            wanted = package in {*pipeline.VERSIONS, *used, "unicode"}
            assert (key() != first) == wanted, package


def test_a_folder_is_read_by_a_package_that_is_in_the_key(tmp_path, tokenizer):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.parquet").write_bytes(b"")
    source = a_source(tmp_path)
    folder = source.model_copy(update={"path": str(tmp_path / "set")})
    found = [Pipeline(make_study(), tokenizer).inputs(s)["versions"] for s in (source, folder)]
    assert ["datasets" in versions for versions in found] == [False, True]


def test_every_key_of_a_source_is_in_its_store_s(tmp_path, tokenizer):
    """Those that it does not give, too: a later version may have another default."""
    inputs = Pipeline(make_study(), tokenizer).inputs(a_source(tmp_path))
    assert inputs["source"].keys() == Source.model_fields.keys() - pipeline.OUTSIDE


def test_a_tokenizer_is_known_by_what_it_does(tokenizer):
    known = tokenizer_hash(tokenizer)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer(["a", "a bad cab"], padding=True, truncation=True, max_length=2)
    assert tokenizer_hash(tokenizer) == known == tokenizer_hash(byte_level())
    changed = byte_level()
    changed.chat_template = "{{ messages }}"
    more = byte_level()
    more.add_tokens(["abba"])
    assert len({known, tokenizer_hash(changed), tokenizer_hash(more)}) == 3


def test_content_is_of_files_folders_and_members_of_archives(tmp_path):
    (tmp_path / "a.tsv").write_text("a")
    (tmp_path / "b.csv").write_text("a")
    assert content_hash(tmp_path / "a.tsv") != content_hash(tmp_path / "b.csv")
    with pytest.raises(DataError, match="a folder; expected a file, or a data set"):
        content_hash(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"one")
    before = content_hash(tmp_path)
    (tmp_path / "c.zip").write_bytes(b"zip")
    assert content_hash(tmp_path) == before, "no part of the data set"
    (tmp_path / "a.parquet").write_bytes(b"other")
    assert content_hash(tmp_path) != before
    member = content_hash(tmp_path / "c.zip" / "x" / "train.de")
    assert member.startswith("x/train.de in .zip ")
    assert content_hash(Path("hf:a/b")) == "hf:a/b"
