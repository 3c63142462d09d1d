"""Aligned text of LibreOffice's help in seven languages, for the study of several languages at once
(2305.15083): `python -m mtray.embedded.help_corpora`.

Every pair of languages has a Parquet file for each split, with the page (`document`) of every row.
Splits are by page, and a text of a held-out page is in no other split, in either language, whatever
it is paired with: no model is tested on a text that it was trained to write.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import combinations
from pathlib import Path

from mtray.data.readers.debian_package import package_files
from mtray.embedded.help_blocks import Blocks, page_blocks, paired
from mtray.embedded.help_packages import (
    PACKAGES,
    FetchedPackage,
    check_version,
    fetch_package,
)
from mtray.embedded.row_tables import Row, by_content, write_rows
from mtray.errors import DataError
from mtray.paths import cache_dir

ROOT = "usr/share/libreoffice/help"
# hundredths of the pages, by the hash of their name
HELD_OUT = {"test": range(0, 5), "dev": range(5, 10)}
PACKAGES_FILE = "packages.json"
LEAST_PAGES = 100  # fewer are not the help

Pages = Mapping[str, Blocks]


def split_of_page(page: str) -> str:
    """The same in every language."""
    place = int.from_bytes(hashlib.sha256(page.encode()).digest()[:8], "big") % 100
    return next((name for name, places in HELD_OUT.items() if place in places), "train")


def read_pages(package: FetchedPackage, folder: str) -> dict[str, Blocks]:
    """The blocks of every page by its name, such as `swriter/guide/anchor_object.html`. DataError
    where the package has hardly any."""
    files = package_files(package.path, f"{ROOT}/{folder}/text/", ".html")
    pages = {name: page_blocks(content.decode("utf-8", "replace")) for name, content in files}
    if len(pages) < LEAST_PAGES:
        raise DataError(
            f"{package.path}: {len(pages)} pages in {ROOT}/{folder}/text, expected about 2,500; "
            "this version of the package is laid out in another way"
        )
    return pages


def held_texts(pages: Pages) -> dict[str, set[str]]:
    """The texts on held-out pages, by split."""
    found: dict[str, set[str]] = {split: set() for split in HELD_OUT}
    for page, blocks in pages.items():
        if (split := split_of_page(page)) in found:
            found[split] |= set(blocks.values())
    return found


def pair_tables(
    a: str, b: str, pages: Mapping[str, Pages], held: Mapping[str, Mapping[str, set[str]]]
) -> dict[str, list[Row]]:
    """The rows of two languages by split, each pair of texts once, in an order that does not depend
    on the pages."""
    found: dict[str, dict[tuple[str, str], Row]] = {"train": {}, "dev": {}, "test": {}}
    for page, one, other in paired(pages[a], pages[b]):
        split = split_of_page(page)
        row = {"document": page, a: one, b: other}
        if not any(_is_held(row[code], held[code], split) for code in (a, b)):
            found[split].setdefault((one, other), row)
    return {split: by_content(rows.values()) for split, rows in found.items()}


def _is_held(text: str, held: Mapping[str, set[str]], split: str) -> bool:
    """Whether the text belongs to a split that goes before: test, then dev, then train."""
    before = {"test": (), "dev": ("test",), "train": ("test", "dev")}[split]
    return any(text in held[name] for name in before)


def prepare(target: Path) -> Path:
    """Create the folder of Parquet files unless it exists. Atomic: the folder is complete or
    absent. Raises DataError where a package cannot be had, or the folder has another version."""
    if (target / "counts.json").is_file():
        _check_version(target)
        return target
    if target.is_dir() and any(target.iterdir()):
        raise DataError(f"{target}: is not complete; remove that folder, and run this again")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".help-") as scratch:
        print("fetching LibreOffice's help in 7 languages (22 MB) ...", flush=True)
        packages = {code: fetch_package(PACKAGES[code], Path(scratch)) for code in PACKAGES}
        pages = {code: read_pages(p, PACKAGES[code].folder) for code, p in packages.items()}
        out = Path(scratch) / "out"
        out.mkdir()
        counts = dict(_written(pages, out))
        origin = [{k: v for k, v in asdict(p).items() if k != "path"} for p in packages.values()]
        (out / PACKAGES_FILE).write_text(json.dumps(origin, indent=1) + "\n")
        (out / "counts.json").write_text(json.dumps(counts, indent=1) + "\n")
        if not (target / "counts.json").is_file():  # else another process finished first
            os.replace(out, target)
    for package in packages.values():
        if package.note:
            print(f"note: {package.note}")
    return target


def _check_version(target: Path) -> None:
    try:
        packages = json.loads((target / PACKAGES_FILE).read_text())
        found = {package["version"] for package in packages}
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"{target / PACKAGES_FILE}: does not say which packages the texts are from; remove "
            "that folder, and run this again"
        ) from None
    check_version(found, target)


def _written(pages: Mapping[str, Pages], out: Path) -> Iterator[tuple[str, int]]:
    """Write the tables of every pair; yields name and number of rows of each."""
    held = {code: held_texts(found) for code, found in pages.items()}
    for a, b in combinations(pages, 2):
        for split, rows in pair_tables(a, b, pages, held).items():
            name = f"help.{a}-{b}.{split}"
            write_rows(rows, out / f"{name}.parquet")
            yield name, len(rows)


def main() -> int:
    from mtray.cli_errors import report_errors

    with report_errors() as outcome:
        folder = prepare(cache_dir() / "libreoffice-help")
        print(f"LibreOffice's help: {folder}")
        for name, count in json.loads((folder / "counts.json").read_text()).items():
            print(f"  {count:>8,}  {name}")
    return outcome.code


if __name__ == "__main__":
    sys.exit(main())
