"""LibreOffice's help: blocks of a page, their alignment, splits; where the packages come from."""

import hashlib
import subprocess

import pytest

from mtray.embedded import help_packages
from mtray.embedded.help_blocks import aligned_blocks, page_blocks, paired
from mtray.embedded.help_corpora import held_texts, pair_tables, prepare, split_of_page
from mtray.embedded.help_packages import (
    FOLDER_VARIABLE,
    HELP_VERSION,
    HELP_VERSION_VARIABLE,
    HelpPackage,
    fetch_package,
)
from mtray.errors import DataError

SWITCH = (
    '<span class="switchinline"><span hidden="true" class="MAC">Cmd</span>'
    '<span hidden="true" id="default1">Ctrl</span></span>'
)
BLOCKS = {
    "a paragraph": ('<p id="par_id1" class="paragraph">Two\n  words</p>',
                    {("par_id1", 0): "Two words"}),
    "a heading": ('<h1 id="hd_id2"><a name="x"></a>Head</h1>', {("hd_id2", 0): "Head"}),
    "inner tags": ('<p id="par_id1">A <b>bold</b><br>line &amp; more</p>',
                   {("par_id1", 0): "A bold line & more"}),
    "the system's word": (f'<p id="par_id1">Press {SWITCH}+N.</p>',
                          {("par_id1", 0): "Press Ctrl+N."}),
    "code": ('<p id="par_id1" class="code">Print x</p>', {}),
    "no text": ('<p id="par_id1"><img src="x"></p>', {}),
    "other ids": ('<p id="bm_id1">no</p><p>nor this</p>', {}),
    "one id twice": ('<p id="par_id1">a</p><td><p id="par_id1">b</p></td>',
                     {("par_id1", 0): "a", ("par_id1", 1): "b"}),
    "a tag never closed": ('<p id="par_id1">a<i>b</p><p id="par_id2">c</p>',
                           {("par_id1", 0): "ab", ("par_id2", 0): "c"}),
}  # fmt: skip


@pytest.mark.parametrize("case", BLOCKS)
def test_blocks_of_a_page(case):
    html, expected = BLOCKS[case]
    assert page_blocks(f"<html><head><title>no</title></head><body>{html}</body>") == expected


def test_blocks_are_aligned_by_their_ids():
    one = {("a", 0): "one", ("b", 0): "=ABS()", ("c", 0): "x", ("c", 1): "y", ("d", 0): "only"}
    other = {("c", 0): "z", ("b", 0): "=ABS()", ("a", 0): "eins"}
    assert aligned_blocks(one, other) == [("one", "eins")], "c stands twice there and once here"
    assert paired({"q": one, "p": one}, {"p": other, "r": other}) == [("p", "one", "eins")]


PAGES = [f"page{i}.html" for i in range(400)]
BY_SPLIT = {s: [p for p in PAGES if split_of_page(p) == s] for s in ("train", "dev", "test")}


def test_no_text_of_a_held_out_page_is_elsewhere():
    """`shared` stands on a page of each split, `held` on a test and a train page with other
    translations: both belong to the test split alone."""
    assert 8 <= len(BY_SPLIT["dev"]) <= 32 and 8 <= len(BY_SPLIT["test"]) <= 32
    train, dev, test = (BY_SPLIT[s][0] for s in ("train", "dev", "test"))
    en = {page: {("own", 0): f"en {page}", ("all", 0): "shared"} for page in (train, dev, test)}
    de = {page: {("own", 0): f"de {page}", ("all", 0): "geteilt"} for page in (train, dev, test)}
    en[test]["x", 0], de[test]["x", 0] = "held", "gehalten"
    en[train]["x", 0], de[train]["x", 0] = "held", "anders"
    en[train]["y", 0], de[train]["y", 0] = "other", "gehalten"
    pages = {"en": en, "de": de}
    found = pair_tables("en", "de", pages, {code: held_texts(p) for code, p in pages.items()})
    texts = {split: sorted(row["en"] for row in rows) for split, rows in found.items()}
    assert texts == {
        "train": [f"en {train}"],
        "dev": [f"en {dev}"],
        "test": sorted([f"en {test}", "shared", "held"]),
    }
    assert all(row["document"] == train for row in found["train"])


CONTENT = b"a package"
PACKAGE = HelpPackage("de", "de", hashlib.sha256(CONTENT).hexdigest())
PLAIN = HELP_VERSION.rpartition(":")[2]


@pytest.mark.parametrize("name", [PLAIN, f"4%3a{PLAIN}"])
def test_packages_in_a_folder_of_the_user(tmp_path, monkeypatch, name):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(DataError, match=r"versions of it there: none.*apt-get download"):
        fetch_package(PACKAGE, tmp_path)
    file = tmp_path / f"libreoffice-help-de_{name}_all.deb"
    file.write_bytes(CONTENT)
    found = fetch_package(PACKAGE, tmp_path)
    assert (found.path, found.pinned, found.note) == (file, True, "")
    file.write_bytes(b"another")
    with pytest.raises(DataError, match="the file was not used"):
        fetch_package(PACKAGE, tmp_path)


def test_another_version_must_be_named(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "libreoffice-help-de_25.2-3_all.deb").write_bytes(b"newer")
    with pytest.raises(DataError, match=rf"there: 25\.2-3.*{HELP_VERSION_VARIABLE}=VERSION"):
        fetch_package(PACKAGE, tmp_path)
    monkeypatch.setenv(HELP_VERSION_VARIABLE, "4:25.2-3")
    found = fetch_package(PACKAGE, tmp_path)
    assert not found.pinned and found.sha256 == hashlib.sha256(b"newer").hexdigest()
    assert found.sha256 in found.note and "4:25.2-3" in found.note


def test_what_apt_does_not_have(tmp_path, monkeypatch):
    """The machine's archive has another version: it is named, and not taken."""
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    asked = []

    def run(command, **_):
        asked.append(command[0])
        listed = "libreoffice-help-de | 4:25.2-3 | http://archive main\n"
        told = ("", "E: Version not found", 100) if command[0] == "apt-get" else (listed, "", 0)
        return subprocess.CompletedProcess(command, told[2], told[0], told[1])

    monkeypatch.setattr(help_packages.shutil, "which", lambda _: "/usr/bin/apt-get")
    monkeypatch.setattr(help_packages.subprocess, "run", run)
    with pytest.raises(DataError, match=r"E: Version not found\n.*archive has: 4:25\.2-3\."):
        fetch_package(PACKAGE, tmp_path)
    assert asked == ["apt-get", "apt-cache"]


def test_without_apt_from_the_public_archive(tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(help_packages.shutil, "which", lambda _: None)
    monkeypatch.setattr(help_packages, "POOL", tmp_path.as_uri())
    with pytest.raises(DataError, match="could not be downloaded"):
        fetch_package(PACKAGE, tmp_path)
    (tmp_path / "into").mkdir()
    (tmp_path / f"libreoffice-help-de_{PLAIN}_all.deb").write_bytes(CONTENT)
    assert fetch_package(PACKAGE, tmp_path / "into").path.read_bytes() == CONTENT


@pytest.mark.parametrize("version", ["../../x", "7.4 7", "--config", "7_4", "x7"])
def test_what_is_no_version(tmp_path, monkeypatch, version):
    """It is part of a file name, of an address, and of apt's arguments."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setenv(HELP_VERSION_VARIABLE, version)
    with pytest.raises(DataError, match="no version of a Debian package"):
        fetch_package(PACKAGE, tmp_path)


def test_a_folder_of_corpora_that_is_not_whole(tmp_path):
    folder = tmp_path / "help"
    folder.mkdir()
    (folder / "help.en-de.dev.parquet").touch()
    with pytest.raises(DataError, match="is not complete; remove that folder"):
        prepare(folder)
    (folder / "counts.json").write_text("{}")
    for content in ("", "{", "[1]", "3", "[{}]"):
        (folder / "packages.json").write_text(content)
        with pytest.raises(DataError, match="does not say which packages the texts are from"):
            prepare(folder)
