"""Test sets in every form that a study may name: the segments, their documents, and what is said of
damage."""

import json
import re

import pytest
from public_files import WMT, needs

from mtray.data.benchmarks.flores import ISO_639_3, find_file
from mtray.data.testsets import read_test_set, require_text
from mtray.errors import ConfigError, DataError
from mtray.schema import QualitySet


def read(path, direction="de-en", **options):
    return read_test_set(QualitySet(direction=direction, path=path, **options))[0]


def available(path, direction="de-en", **options):
    return read_test_set(QualitySet(direction=direction, path=path, **options))[1]


def put(folder, name, *lines):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))
    return str(file)


# files


def test_line_parallel_files(tmp_path):
    path = {"de": put(tmp_path, "a.de", "eins", "zwei"), "en": put(tmp_path, "a.en", "one", "two")}
    found = read(path, size=1, take="first")
    assert (found.sources, found.references) == (["eins"], ["one"])
    assert (found.documents, found.domains, available(path, size=1)) == (None, None, 2)
    assert read(path, "en-de").sources == ["one", "two"]


def test_columns_and_documents(tmp_path):
    rows = [{"german": f"s{i}", "en": f"t{i}", "doc": f"d{i // 2}"} for i in range(5)]
    path = put(tmp_path, "a.jsonl", *map(json.dumps, rows))
    found = read(path, columns={"de": "german", "document": "doc"}, size=3, take="first")
    assert found.sources == ["s0", "s1", "s2"] and found.documents == ["d0", "d0", "d1"]
    assert read(path, columns={"de": "german"}).documents is None
    with pytest.raises(ConfigError, match=r"unknown key 'fr'.*allowed: de, en, domain, document"):
        read(path, columns={"fr": "german"})
    with pytest.raises(ConfigError, match=r"`split` is only for a FLORES folder"):
        read(path, split="dev")


@pytest.mark.parametrize("empty", ["", "   "])
def test_an_empty_reference_is_named_by_its_line(tmp_path, empty):
    german = put(tmp_path, "a.de", "eins", "zwei", "drei")
    path = {"de": german, "en": put(tmp_path, "a.en", "one", "two", empty)}
    with pytest.raises(DataError, match=r"a\.en: line 3 has no reference"):
        read(path)
    taken = read(path, size=2, take="first")
    assert taken.references == ["one", "two"], "a segment that is not taken does not matter"
    with pytest.raises(DataError, match=r"line 3 has no source"):
        read(path, "en-de")
    table = put(tmp_path, "a.tsv", "de\ten", "eins\tone", f"zwei\t{empty}")
    with pytest.raises(DataError, match=r"a\.tsv: row 2 has no reference"):
        read(table)


@pytest.fixture
def domains(tmp_path):
    """A chat of 40 segments first, then 20 of news in documents of two; labels are numbers too."""
    rows = [{"de": f"s{i}", "en": f"t{i}", "doc": 0, "kind": "chat"} for i in range(40)]
    rows += [{"de": f"s{i}", "en": f"t{i}", "doc": i // 2, "kind": "news"} for i in range(40, 60)]
    return put(tmp_path, "domains.jsonl", *map(json.dumps, rows))


def test_a_sample_has_of_every_document_and_domain(domains):
    columns = {"document": "doc", "domain": "kind"}
    found = read(domains, columns=columns, size=30)
    assert found.documents.count("0") == found.domains.count("chat") == 20
    assert len(set(found.documents)) == 11 and len(found) == 30
    assert found.sources == sorted(found.sources, key=lambda source: int(source[1:]))
    assert [s[1:] for s in found.sources] == [t[1:] for t in found.references]
    other = read(domains, "en-de", columns=columns, size=30)
    assert other.references == found.sources, "both directions take the same rows"
    assert read(domains, columns=columns, size=30, take="first").documents == ["0"] * 30
    spec = QualitySet(direction="de-en", path=domains, columns=columns, size=30)
    assert read_test_set(spec, 1)[0].sources != found.sources


def test_an_empty_segment_of_a_sample_is_named_by_its_row_in_the_file(tmp_path):
    """The sample is the rows 3, 7 and 8 counted from 0."""
    rows = [{"de": f"s{i}", "en": "" if i == 7 else f"t{i}"} for i in range(10)]
    path = put(tmp_path, "a.jsonl", *map(json.dumps, rows))
    with pytest.raises(DataError, match=r"a\.jsonl: row 8 has no reference"):
        read(path, size=3)


def test_files_that_do_not_fit(tmp_path):
    path = {"de": put(tmp_path, "a.de", "eins", "zwei"), "en": put(tmp_path, "a.en", "one")}
    with pytest.raises(DataError, match=r"a\.de has 2 lines, .*a\.en has 1 lines"):
        read(path)
    with pytest.raises(DataError, match="de-en is empty"):
        read({"de": put(tmp_path, "b.de"), "en": put(tmp_path, "b.en")})
    require_text(["a"], "f", "translation")


@needs(WMT)
def test_wmt_as_alma_ships_it():
    for direction, count in {"de-en": 1984, "en-de": 2037}.items():
        found = read(str(WMT / f"test.{direction}.json"), direction, size=5000)
        assert len(found.sources) == len(found.references) == count


# FLORES


@pytest.fixture
def flores(tmp_path):
    for split, count in (("dev", 2), ("devtest", 3)):
        for code in ("deu_Latn", "eng_Latn", "zho_Hans", "zho_Hant", "kmr_Latn", "lvs_Latn"):
            put(tmp_path, f"{split}/{code}.{split}", *(f"{code} {split} {i}" for i in range(count)))
    return tmp_path


def test_flores_200(flores):
    found = read(str(flores))
    assert found.sources == [f"deu_Latn devtest {i}" for i in range(3)]
    assert found.references[0] == "eng_Latn devtest 0" and found.documents is None
    assert available(str(flores), split="dev") == 2
    assert read(str(flores), "en-zh").references[0].startswith("zho_Hans")
    assert read(str(flores), "en-zh", columns={"zh": "zho_Hant"}).references[0][:8] == "zho_Hant"
    assert read(str(flores), "lv-kmr").sources[0].startswith("lvs_Latn")


def test_flores_101_and_a_folder_of_one_split(tmp_path):
    for code in ("deu", "eng", "lav", "zho_simpl", "zho_trad"):
        put(tmp_path, f"{code}.devtest", code)
    assert read(str(tmp_path)).references == ["eng"]
    assert read(str(tmp_path), "lv-zh").references == ["zho_simpl"]


def test_flores_articles(flores):
    urls = ["u1", "u1", "u2"]
    rows = [f"{url}\tnews\tx" for url in urls]
    put(flores, "metadata_devtest.tsv", "URL\tdomain\ttopic", *rows)
    assert read(str(flores)).documents == urls and read(str(flores), split="dev").documents is None
    assert read(str(flores)).domains == ["news"] * 3
    put(flores, "metadata_devtest.tsv", "URL\tdomain\ttopic", *rows[:2])
    with pytest.raises(DataError, match="2 rows for the 3 sentences of devtest"):
        read(str(flores))


def test_flores_mistakes(flores, tmp_path_factory):
    with pytest.raises(ConfigError, match=r"no file for fr \(fra\).*deu_Latn, eng_Latn"):
        read(str(flores), "fr-en")
    with pytest.raises(ConfigError, match=r"no file for de \(deu\)"):
        read(str(flores), columns={"de": "deu"})
    put(flores, "devtest/deu_Arab.devtest", "x")
    with pytest.raises(ConfigError, match=r"de may be deu_Arab or deu_Latn.*columns: \{de: "):
        find_file(flores, "devtest", "de")
    put(flores, "devtest/deu_Arab.devtest")
    with pytest.raises(DataError, match=r"deu_Arab\.devtest has 0 lines, .* has 3 lines"):
        read(str(flores), columns={"de": "deu_Arab"})
    with pytest.raises(ConfigError, match="not a FLORES folder"):
        read(str(tmp_path_factory.mktemp("none")))


def test_flores_codes_are_of_three_letters():
    assert all(re.fullmatch(r"[a-z]{2}", code) for code in ISO_639_3)
    stems = [s.split("_")[0] for found in ISO_639_3.values() for s in found.split()]
    assert all(re.fullmatch(r"[a-z]{3}", stem) for stem in stems)


# sacrebleu's sets

XML = """<?xml version='1.0' encoding='utf-8'?>
<dataset id="wmttest2022">{docs}</dataset>"""
DOC = """<doc id="{name}" origlang="de"><src lang="de"><p>{src}</p></src>
<ref lang="en" translator="A"><p>{ref}</p></ref></doc>"""


def segs(texts):
    return "".join(f'<seg id="{i}">{text}</seg>' for i, text in enumerate(texts, 1))


@pytest.fixture
def wmt22(tmp_path, monkeypatch):
    """sacrebleu's wmt22 in an empty cache, with nothing in reach."""
    from sacrebleu.dataset import DATASETS

    dataset = DATASETS["wmt22"]
    monkeypatch.setattr(dataset, "_outdir", str(tmp_path / "wmt22"))
    monkeypatch.setattr(dataset, "_rawdir", str(tmp_path / "wmt22" / "raw"))
    monkeypatch.setattr(dataset, "data", ["http://127.0.0.1:9/v1.1.tar.gz"])
    return tmp_path / "wmt22"


def cached(folder, references=("One.", "Two &amp; three."), domain=""):
    docs = DOC.format(name="news.1", src=segs(["Eins.", "Zwei  &amp; drei."]), ref=segs(references))
    docs += DOC.format(name="news.2", src=segs(["Vier."]), ref=segs(["Four."]))
    raw = folder / "raw"
    put(raw, "wmt22.v1.1.tar.gz", "unpacked already")
    docs = docs.replace("<doc ", f"<doc {domain}")
    put(raw, "wmt22-news-systems-1.1/xml/wmttest2022.de-en.all.xml", XML.format(docs=docs))


def test_a_set_of_sacrebleu_with_its_documents(wmt22):
    cached(wmt22)
    found = read("wmt:wmt22")
    assert found.sources == ["Eins.", "Zwei & drei.", "Vier."]
    assert found.references == ["One.", "Two & three.", "Four."]
    assert found.documents == ["news.1", "news.1", "news.2"]
    assert found.domains is None and read("wmt:wmt22", size=1, take="first").documents == ["news.1"]
    with pytest.raises(ConfigError, match=r"unknown key 'de'.*none with a set of sacrebleu"):
        read("wmt:wmt22", columns={"de": "x"})


def test_a_set_of_sacrebleu_with_its_domains(wmt22):
    cached(wmt22, domain='domain="news" ')
    assert read("wmt:wmt22").domains == ["news"] * 3


def test_a_set_of_sacrebleu_that_is_not_there(wmt22):
    with pytest.raises(DataError, match=r"not in sacrebleu's cache .*wmt22.*sacrebleu -t wmt22"):
        read("wmt:wmt22")
    with pytest.raises(ConfigError, match=r"no such set; it has .*wmt22, wmt23"):
        read("wmt:wmt99")
    with pytest.raises(ConfigError, match=r"no direction fr-en; there are cs-en, "):
        read("wmt:wmt22", "fr-en")
    put(wmt22 / "raw", "wmt22.v1.1.tar.gz", "cut short, never unpacked")
    with pytest.raises(DataError, match="cannot be fetched"):
        read("wmt:wmt22")


def test_lines_that_sacrebleu_wrote_in_part_are_noticed(wmt22):
    cached(wmt22)
    put(wmt22, "wmt22.de-en.src", "Eins.")
    with pytest.raises(DataError, match=r"src has 1, .*ref-A has 3"):
        read("wmt:wmt22")
