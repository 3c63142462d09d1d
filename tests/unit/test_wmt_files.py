"""WMT's SGM and XML: documents, segments, several references, and what is refused."""

import re

import pytest

from mtray.data.readers.sources import all_rows, source_rows
from mtray.errors import DataError
from mtray.schema import Source

SOURCE = """<!DOCTYPE srcset SYSTEM "ftp://jaguar.ncsl.nist.gov/mt/resources/mteval-xml-v1.3.dtd">
<srcset setid="newstest2019" srclang="any">
<DOC docid="abc.1" genre="news" origlang="de">
<hl><seg id="1">Fisch &amp; Brot</seg></hl>
<p>
<seg id="2">a &lt; b &#8364; R&D
 und  weiter</seg>
</p>
</DOC>
<doc docid='abc.2'>
<seg id='1'>Ja.</seg> <seg id='2'>Nein.</seg>
</doc>
</srcset>
"""
TARGET = """<refset setid="newstest2019" srclang="any" trglang="en">
<doc sysid="ref" docid="abc.1" genre="news" origlang="de">
<seg id="1">Fish &amp; bread</seg>
<seg id="2">a &lt; b</seg>
</doc>
<doc sysid="ref" docid="abc.2"><seg id="1">Yes.</seg><seg id="2"></seg></doc>
</refset>
"""
XML = """<?xml version='1.0' encoding='utf-8'?>
<dataset id="newstest2021"><collection id="general">
<doc id="n.1" origlang="de"><src lang="de"><p><seg id="1">Fisch &amp; Brot</seg></p>
<p><seg id="2">eins
 zwei</seg></p></src>
<ref lang="en" translator="A"><p><seg id="1">Fish</seg><seg id="2">one two</seg></p></ref>
<ref lang="en" translator="B"><p><seg id="1">OTHER</seg><seg id="2">OTHER</seg></p></ref>
<hyp system="x" language="en"><p><seg id="1">HYP</seg></p></hyp></doc>
<doc id="n.2"><src lang="de"><seg id="1">Ja.</seg><seg id="2">Nein.</seg></src>
<ref lang="en"><seg id="1">Yes.</seg></ref></doc>
</collection></dataset>
"""


def put(folder, name, content):
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return str(path)


def pair(folder, source=SOURCE, target=TARGET):
    return {"de": put(folder, "a.sgm", source), "en": put(folder, "b", target)}


def test_sgm(tmp_path):
    assert all_rows(pair(tmp_path), ["de", "en", "document"]) == [
        {"de": "Fisch & Brot", "en": "Fish & bread", "document": "abc.1"},
        {"de": "a < b € R&D und weiter", "en": "a < b", "document": "abc.1"},
        {"de": "Ja.", "en": "Yes.", "document": "abc.2"},
        {"de": "Nein.", "en": "", "document": "abc.2"},
    ]
    rows = all_rows(pair(tmp_path)["de"], ["text", "document"])
    assert rows[2] == {"text": "Ja.", "document": "abc.2"}


def test_sgm_beside_plain_lines(tmp_path):
    paths = {"de": put(tmp_path, "a.sgm", SOURCE), "en": put(tmp_path, "b.en", "1\n2\n3\n4\n")}
    assert [row["en"] for row in all_rows(paths, ["de", "en"])] == ["1", "2", "3", "4"]


WRONG_SGM = [
    (SOURCE.replace("docid='abc.2'", 'docid="abc.1"'), r"a\.sgm:10: document 'abc.1' .* second"),
    (SOURCE.replace("docid='abc.2'", 'docid="abc.3"'), r"a\.sgm:11: .*'abc.3'.* paired with .*b:6"),
    (SOURCE.replace("Brot</seg>", "Brot"), r"a\.sgm:6: <seg> within the <seg> of line 4"),
    (SOURCE.replace("<seg id='2'>", ""), r"a\.sgm:11: </seg> without <seg>"),
    (SOURCE[: SOURCE.index("Nein")], r"a\.sgm:11: <seg> is never closed"),
    ('<!DOCTYPE a [\n<!ENTITY b "c">]>\n' + SOURCE, r"a\.sgm:2: declares an entity; refused"),
    ("<srcset></srcset>", r"a\.sgm has 0 lines"),
]


@pytest.mark.parametrize("text, message", WRONG_SGM, ids=range(len(WRONG_SGM)))
def test_sgm_that_is_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        all_rows(pair(tmp_path, text), ["de", "en"])


def test_sgm_holds_one_language(tmp_path):
    with pytest.raises(DataError, match=r"one language; give a file for each: path: \{de: …, en:"):
        all_rows(pair(tmp_path)["de"], ["de", "en"])
    plain = {"de": put(tmp_path, "a.de", "x\n"), "en": put(tmp_path, "a.en", "x\n")}
    with pytest.raises(DataError, match="no column 'document'"):
        all_rows(plain, ["de", "en", "document"])


def test_xml(tmp_path):
    path = put(tmp_path, "a.xml", XML)
    assert all_rows(path, ["de", "en", "document"]) == [
        {"de": "Fisch & Brot", "en": "Fish", "document": "n.1"},
        {"de": "eins\nzwei", "en": "one two", "document": "n.1"},
        {"de": "Ja.", "en": "Yes.", "document": "n.2"},
        {"de": "Nein.", "en": "", "document": "n.2"},
    ]
    with pytest.raises(DataError, match="nothing in 'fr'; languages there: de, en"):
        all_rows(path, ["de", "fr"])


WRONG_XML = [
    (
        XML.replace("?>", '?><!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>', 1),
        r":1: declares",
    ),
    (XML.replace("?>", '?><!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]>', 1), r":1: decl"),
    (XML.replace("</p></src>", "</src>"), r":5: not XML: mismatched tag"),
    (XML.replace(' lang="en"', "", 1), r":6: a side without lang"),
    (XML.replace('"2">eins', '"1">eins'), r":5: segment '1' for the second time"),
    (XML.replace("<doc ", "<dok ").replace("</doc>", "</dok>"), r":3: a side outside of <doc>"),
    (XML.replace("dataset", "dateset"), r": the first element is <dateset>"),
    (XML.replace("utf-8", "utf-7"), r":1: not XML that Python reads"),
]


@pytest.mark.parametrize("text, message", WRONG_XML, ids=range(len(WRONG_XML)))
def test_xml_that_is_refused(tmp_path, text, message):
    path = put(tmp_path, "a.xml", text)
    with pytest.raises(DataError, match=re.escape(path) + message):
        all_rows(path, ["de", "en"])


def test_a_source_keeps_its_documents(tmp_path):
    path = put(tmp_path, "a.xml", XML)
    source = Source(
        name="wmt",
        kind="parallel",
        languages=("en", "de"),
        path=path,
        columns={"document": "document"},
    )
    assert next(source_rows(source)) == {
        "source": "Fish",
        "target": "Fisch & Brot",
        "document": "n.1",
    }
    mono = Source(name="mono", kind="mono", languages=("de",), path=path, columns={"text": "de"})
    assert [row["text"] for row in source_rows(mono)][2:] == ["Ja.", "Nein."]
