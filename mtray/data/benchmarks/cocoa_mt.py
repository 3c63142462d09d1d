"""CoCoA-MT (Nadejde et al. 2022) in its published format: one sentence a line, files of one stem
are line-parallel.

A stem is `formality-control.{train|test}.{domain}.en-XX`, or the same without a domain (the merged
sets of IWSLT 2022 and 2023). Its suffixes differ by language and by release, so several are tried:

    source      `.en`, or the stem itself is the file
    references  `.{formal|informal}.annotated` or `.{formal|informal}.annotated.XX`

The plain references equal the annotated ones without `[F]` and `[/F]`, so they are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mtray.data.readers.formats import names_a_format
from mtray.data.readers.lines import read_lines
from mtray.data.readers.remarks import current
from mtray.errors import DataError

REGISTERS = ("formal", "informal")
ANNOTATED = re.compile(r"\[F\](.*?)\[/F\]")
TAG = re.compile(r"\[/?F\]")
# European Portuguese: the stem says `en-ptpt`, the folder `en-pt`, the suffix `.pt`
STEM_CODES = {"pt": ("pt", "ptpt")}


class Contrast(NamedTuple):
    """One source sentence with its two references, plain and annotated."""

    source: str
    formal: str
    informal: str
    formal_annotated: str
    informal_annotated: str


def phrases(annotated: str) -> list[str]:
    """The texts between `[F]` and `[/F]`."""
    return ANNOTATED.findall(annotated)


def plain(annotated: str) -> str:
    """The text without its tags."""
    return TAG.sub("", annotated)


def has_lone_tag(annotated: str) -> bool:
    """Whether an `[F]` is not closed by `[/F]` before the next one, or the other way round."""
    tags = TAG.findall(annotated)
    return tags != ["[F]", "[/F]"] * (len(tags) // 2)


def note_lone_tags(annotated: Sequence[str], where: str, unit: str = "line") -> None:
    """Remark on tags without a partner, as the published informal Japanese references of IWSLT 2022
    have one. They are read as by the official scorer: a phrase is what `phrases` finds."""
    lone = [number for number, text in enumerate(annotated, 1) if has_lone_tag(text)]
    if lone:
        current().count(
            where,
            f"references with [F] or [/F] without its partner (the first in {unit} {lone[0]}); "
            "they are read as by the official scorer: what stands from [F] to the next [/F] is a "
            "phrase",
            len(lone),
        )


def read_annotated(path: Path) -> list[str]:
    """The lines of an annotated file, stripped as in the official scorer, with a remark on tags
    without a partner. DataError with the line for an empty reference."""
    lines = [line.strip() for line in read_lines(path)]
    for number, line in enumerate(lines, 1):
        if not plain(line).strip():
            raise DataError(f"{path}:{number}: the reference is empty")
    note_lone_tags(lines, str(path))
    if not any(ANNOTATED.search(line) for line in lines):
        raise DataError(
            f"{path}: no [F]...[/F] phrase; annotated files usually have `.annotated` in their name"
        )
    return lines


def is_table(path: str | Mapping[str, str]) -> bool:
    """Whether a path is a table (or a file for each column) and not one of CoCoA-MT's layouts."""
    return not isinstance(path, str) or names_a_format(path)


def read_cocoa(path: Path, source: str, target: str) -> list[Contrast]:
    """The sentences of `read_domains`, concatenated."""
    return [row for rows in read_domains(path, source, target).values() for row in rows]


def read_domains(
    path: Path, source: str, target: str, domains: Sequence[str] = ()
) -> dict[str, list[Contrast]]:
    """The sentences of a folder or a stem by domain, in alphabetical order or in the order of
    `domains`; a merged set has the domain "". DataError naming the paths tried when a file is
    missing, or when the files of a stem have different lengths."""
    stems = _stems(path, source, target)
    known = {_domain(stem): stem for stem in stems}
    every = [""] if "" in known else sorted(known)
    wanted = [domain.replace("-", "_") for domain in domains] or every
    for domain in wanted:
        if domain not in known:
            raise DataError(
                f"{path}: no domain {domain!r}; there are "
                f"{', '.join(sorted(filter(None, known))) or 'none, the set is merged'}"
            )
    return {domain: _read_stem(known[domain], source, target) for domain in wanted}


def _stems(path: Path, source: str, target: str) -> list[Path]:
    """The stems of a direction in a folder (or in its folder `en-XX`), or the stem itself."""
    codes = [f"{source}-{code}" for code in STEM_CODES.get(target, (target,))]
    if not path.is_dir():
        return [path]
    folder = next((path / code for code in codes if (path / code).is_dir()), path)
    pattern = re.compile(
        rf"formality-control\.(train|test)\.(?:[^.]+\.)?(?:{'|'.join(codes)})(?=\.|$)"
    )
    found = {m[0]: m[1] for m in map(pattern.match, _names(folder)) if m}
    if not found:
        raise DataError(
            f"{folder}: no file of CoCoA-MT there; looked for "
            f"formality-control.{{train,test}}.[DOMAIN.]{' or '.join(codes)}[.SUFFIX]"
        )
    if len(set(found.values())) > 1:
        raise DataError(f"{folder}: has train and test files; give the folder of one of them")
    return [folder / name for name in sorted(found)]


def _names(folder: Path) -> Iterable[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_file())


def _domain(stem: Path) -> str:
    """`telephony` of `formality-control.test.telephony.en-de`, with `_` for `-`; empty in a merged
    set."""
    parts = stem.name.split(".")
    return parts[2].replace("-", "_") if len(parts) == 4 else ""


def _first_file(stem: Path, suffixes: Sequence[str], what: str) -> Path:
    candidates = [stem.with_name(stem.name + suffix) for suffix in suffixes]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    names = ", ".join(candidate.name for candidate in candidates)
    raise DataError(f"{stem.parent}: no {what}; looked for {names}")


def _read_stem(stem: Path, source: str, target: str) -> list[Contrast]:
    code = stem.name.rsplit("-", 1)[-1]
    endings = dict.fromkeys(("", f".{target}", f".{code}"))
    files = {"source": _first_file(stem, (f".{source}", ""), "source file")}
    for register in REGISTERS:
        suffixes = [f".{register}.annotated{ending}" for ending in endings]
        files[register] = _first_file(stem, suffixes, f"annotated {register} references")
    sources = read_lines(files["source"])
    references = [read_annotated(files[register]) for register in REGISTERS]
    if len({len(sources), *map(len, references)}) > 1 or not sources:
        lengths = zip(files.values(), (sources, *references), strict=True)
        counts = ", ".join(f"{file.name} has {len(lines):,}" for file, lines in lengths)
        raise DataError(
            f"{stem.parent}: expected files with equally many lines, at least one, found {counts}"
        )
    for number, line in enumerate(sources, 1):
        if not line.strip():
            raise DataError(f"{files['source']}:{number}: the source sentence is empty")
    return [
        Contrast(line, plain(formal), plain(informal), formal, informal)
        for line, formal, informal in zip(sources, *references, strict=True)
    ]
