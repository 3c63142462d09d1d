"""TMX: what is read, and what is refused because it is damaged or could do harm."""

import zipfile

import pytest
from public_files import TICO, needs

from mtray.data.readers import byte_streams
from mtray.data.readers.byte_streams import open_stream
from mtray.data.readers.sources import all_rows, read_columns
from mtray.data.readers.tmx import units
from mtray.errors import DataError

ZIP = TICO / "all.en-fr.tmx.zip"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
DOCTYPE = '<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n'
BODY = """<tmx version="1.4"><header srclang="en"><prop type="x">y</prop></header><body>
<tu tuid="A_1:1"><note>n</note>
<tuv xml:lang="en"><seg>a &lt; b
 &amp;  c</seg></tuv><tuv xml:lang="pt-BR"><seg>um</seg></tuv></tu>
<tu tuid="A_1:2"><tuv lang="EN"><seg>see <hi>bold</hi><ph x="1">{<sub>no</sub>}</ph></seg></tuv>
<tuv xml:lang="pt-PT"><seg>dois</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>alone</seg></tuv></tu>
</body></tmx>
"""


def read_units(path):
    with open_stream(path) as file:
        return list(units(file))


def write(tmp_path, text, name="a.tmx", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def test_units(tmp_path):
    first, second, third = read_units(write(tmp_path, HEAD + DOCTYPE + BODY))
    assert first.texts == {"en": "a < b\n& c", "pt-br": "um"}
    assert second.texts == {"en": "see bold", "pt-pt": "dois"}
    assert [u.document for u in (first, second)] == ["A_1", "A_1"]
    assert third.document == "unit at line 9"


def test_rows(tmp_path):
    path = write(tmp_path, HEAD + BODY)
    rows = all_rows(str(path), ["en", "pt", "document"])
    assert rows[1] == {"en": "see bold", "pt": "dois", "document": "A_1"}
    assert rows[2]["pt"] == ""
    assert len(read_columns(str(path), ["en", "pt"])) == 2, "units without one side are left out"
    with pytest.raises(DataError, match="no unit in 'fr'; languages there: en, pt-br, pt-pt"):
        all_rows(str(path), ["en", "fr"])


def test_other_encodings(tmp_path):
    text = '<?xml version="1.0" encoding="UTF-16"?>' + BODY.replace("um", "três")
    assert read_units(write(tmp_path, text, encoding="utf-16"))[0].texts["pt-br"] == "três"


ENTITY = '<!DOCTYPE tmx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>\n'
OUTSIDE = '<!DOCTYPE tmx [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n'
PARAMETER = '<!DOCTYPE tmx [<!ENTITY % a SYSTEM "http://localhost/x.dtd"> %a;]>\n'
REFUSED = {
    "entities that grow": (HEAD + ENTITY + BODY, r"a.tmx:2: declares .* an entity"),
    "a file outside": (HEAD + OUTSIDE + BODY, r"a.tmx:2: declares"),
    "a parameter entity": (HEAD + PARAMETER + BODY, r"a.tmx:2: declares"),
    "an entity of the DTD": (HEAD + DOCTYPE + BODY.replace("um", "&nbsp;"), r"a.tmx:6: .*refers"),
    "an unknown entity": (HEAD + BODY.replace("um", "&nbsp;"), r"a.tmx:5: not XML: undefined"),
    "an element that is not closed": (
        HEAD + BODY.replace("</body>", ""),
        r"a.tmx:9: not XML: mismatched tag",
    ),
    "no XML": ("a\tb\n", r"a.tmx:1: not XML"),
    "another format": (HEAD + "<html><tu/></html>", r"a.tmx:2: not TMX: .*<html>"),
    "a variant without language": (HEAD + BODY.replace(' lang="EN"', ""), r":6: <tuv> without"),
    "a variant without unit": (HEAD + "<tmx><tuv xml:lang='en'/></tmx>", r":2: <tuv> outside"),
    "bytes that are no UTF-8": (None, r"a.tmx:\d+: not XML"),
    "nothing": ("", r"a.tmx:1: not XML: no element found"),
}


@pytest.mark.parametrize("text, message", REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path, text, message):
    path = write(tmp_path, text or "")
    if text is None:
        path.write_bytes((HEAD + BODY).encode().replace(b"um", b"\xff\xfe"))
    with pytest.raises(DataError, match=message):
        read_units(path)


def zipped(tmp_path, **members):
    path = tmp_path / "a.tmx.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name.replace("_", "."), text)
    return path


def test_an_archive(tmp_path):
    path = zipped(tmp_path, a_tmx=HEAD + BODY, readme_txt="x")
    assert len(read_columns(str(path), ["en", "pt"])) == 2


def test_archives_that_are_refused(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"found 2; it contains a.tmx, b.tmx"):
        read_units(zipped(tmp_path, a_tmx=BODY, b_tmx=BODY))
    with pytest.raises(DataError, match=r"found 0; it contains nothing"):
        read_units(zipped(tmp_path))
    bomb = zipped(tmp_path, a_tmx=BODY.replace("alone", " " * (20 << 20)))
    with pytest.raises(DataError, match=r"bytes expand to over .*; refused"):
        read_units(bomb)
    monkeypatch.setattr(byte_streams, "MOST_BYTES", 300)
    with pytest.raises(DataError, match=r"expand to over"):
        read_units(zipped(tmp_path, a_tmx=BODY))
    with pytest.raises(DataError, match="not a readable zip"):
        read_units(write(tmp_path, BODY, "b.zip"))
    with pytest.raises(DataError, match="no such file"):
        read_units(tmp_path / "c.zip")


@needs(TICO)
def test_tico():
    rows = read_columns(str(ZIP), ["en", "fr", "document"])
    assert len(rows) == 3071
    documents = [row["document"] for row in rows]
    assert documents.count("CMU_1") == 141
    assert rows[0]["en"] == "about how long have these symptoms been going on?"
