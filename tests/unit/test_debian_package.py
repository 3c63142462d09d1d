"""Files of a Debian package are read without being unpacked."""

import gzip
import io
import lzma
import random
import tarfile

import pytest

from mtray.data.readers import debian_package
from mtray.data.readers.debian_package import package_files
from mtray.errors import DataError

FOLDER = "usr/share/help/"


def tar_of(files, links=()):
    """A tar archive; `links`: pairs of a name and where it points."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return out.getvalue()


def ar_of(members):
    """An ar archive (ar(5)): names of 16 characters, four fields, size, and an even length."""
    out = b"!<arch>\n"
    for name, content in members.items():
        head = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        out += head + content + b"\n" * (len(content) % 2)
    return out


def package(path, tar, suffix=".xz", compress=lzma.compress):
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", f"data.tar{suffix}": b""}
    members[f"data.tar{suffix}"] = compress(tar)
    path.write_bytes(ar_of(members))
    return path


def flipped(path):
    """A package with a wrong byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    return bytes(content)


FILES = {
    f"./{FOLDER}a.html": b"A",
    f"./{FOLDER}deep/b.html": b"B",
    f"./{FOLDER}c.js": b"C",
    "./usr/share/doc/d.html": b"D",
    f"./{FOLDER}../../../../etc/e.html": b"E",
    "/etc/f.html": b"F",
}


@pytest.mark.parametrize("suffix, compress", [(".xz", lzma.compress), ("", bytes)])
def test_files_below_a_folder(tmp_path, suffix, compress):
    """A link is no file, and a name that leads elsewhere is only a name: nothing is written."""
    tar = tar_of(FILES, [(f"./{FOLDER}link.html", "/etc/passwd")])
    made = package(tmp_path / "p.deb", tar, suffix, compress)
    assert dict(package_files(made, FOLDER, ".html")) == {
        "a.html": b"A", "deep/b.html": b"B", "../../../../etc/e.html": b"E",
    }  # fmt: skip
    assert [file.name for file in tmp_path.iterdir()] == ["p.deb"]


def test_what_is_no_package(tmp_path):
    whole = package(tmp_path / "p.deb", tar_of(FILES)).read_bytes()
    noise = tar_of({f"./{FOLDER}a.html": random.Random(1).randbytes(100_000)})
    cases = {
        b"PK\x03\x04": "not a Debian package",
        whole[: len(whole) - 40]: "cut off; download it again",
        ar_of({"debian-binary": b"2.0\n"}): r"it has no data\.tar",
        ar_of({"data.tar.zst": b"x"}): r"data\.tar\.zst cannot be read; repack it",
        ar_of({"data.tar.xz": b"no xz"}): "its files cannot be read",
        whole.replace(b"`\n", b"``"): "a damaged ar archive",
        flipped(package(tmp_path / "p.deb", noise)): "cannot be read: .*; download it again",
        flipped(
            package(tmp_path / "p.deb", noise, ".gz", gzip.compress)
        ): "its files cannot be read",
        ar_of({"data.tar.xz": b""}).replace(b"0         `", b"9999999999`"): "cut off",
    }
    for content, message in cases.items():
        (tmp_path / "bad.deb").write_bytes(content)
        with pytest.raises(DataError, match=message):
            list(package_files(tmp_path / "bad.deb", FOLDER, ".html"))


@pytest.mark.parametrize("limit", ["MOST_PACKAGE", "MOST_FILE", "MOST_TOTAL", "MOST_FILES"])
def test_an_archive_that_is_too_large(tmp_path, monkeypatch, limit):
    made = package(tmp_path / "p.deb", tar_of({f"./{FOLDER}{n}.html": b"xx" for n in "abc"}))
    assert len(list(package_files(made, FOLDER, ".html"))) == 3
    monkeypatch.setattr(debian_package, limit, 1)
    with pytest.raises(DataError, match="not read"):
        list(package_files(made, FOLDER, ".html"))


def test_a_header_that_unpacks_to_more_than_the_memory_is_not_read(tmp_path, monkeypatch):
    """tarfile reads the value of an extended header (pax) at once, whatever its size."""
    head = tarfile.TarInfo("long")
    head.type, head.size = tarfile.XHDTYPE, 1 << 33
    made = package(tmp_path / "p.deb", head.tobuf() + bytes(1 << 20))
    monkeypatch.setattr(debian_package, "MOST_TOTAL", 1 << 19)
    with pytest.raises(DataError, match=r"not read$"):
        list(package_files(made, FOLDER, ".html"))
