"""Test sets of translation: a study's `evaluation.quality` as segments.

`path` is one of
- a file with a column for each language, or a file for each language (`mtray.data.sources`);
- `wmt:NAME`, one of sacrebleu's names (`mtray.data.wmt`);
- a FLORES folder, of which `split` takes dev or devtest (`mtray.data.flores`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mtray.data.flores import SPLITS, read_flores
from mtray.data.sources import Row, all_rows
from mtray.data.wmt import read_wmt
from mtray.errors import ConfigError, DataError
from mtray.schema import SACREBLEU_PREFIX as PREFIX
from mtray.schema import QualitySet

DOCUMENT = "document"  # the role in `columns` that names a segment's document


@dataclass(frozen=True)
class Segments:
    """The first segments of a set of `available`. `documents`: what each belongs to, where the set
    says so."""

    sources: list[str]
    references: list[str]
    documents: list[str] | None
    available: int


def is_named(path: object) -> bool:
    """Whether a path is the name of a set instead of a place on disk."""
    return isinstance(path, str) and path.startswith(PREFIX)


def read_test_set(spec: QualitySet) -> Segments:
    """The first `size` segments. ConfigError for options that do not fit the kind of set, DataError
    when it cannot be read or a segment has no source or no reference."""
    return _first(spec, *_read(spec))


def whole_test_set(spec: QualitySet) -> tuple[Sequence[str], Sequence[str], str]:
    """Sources and references of the whole set, of which some past `size` may be empty, and what its
    files count by: lines or rows."""
    sources, references, _, unit = _read(spec)
    return sources, references, unit


def _read(
    spec: QualitySet,
) -> tuple[Sequence[str], Sequence[str], Sequence[str] | None, str]:
    """Sources, references, documents where the set says so, and the unit."""
    source, target = spec.direction.split("-")
    kind = _kind(spec)
    allowed = {"file": (source, target, DOCUMENT), "flores": (source, target), "wmt": ()}[kind]
    if unknown := spec.columns.keys() - set(allowed):
        raise ConfigError(
            f"`evaluation.quality` {spec.direction}: unknown key {min(unknown)!r} in `columns`; "
            f"allowed: {', '.join(allowed) or 'none with a set of sacrebleu'}"
        )
    if spec.split is not None and kind != "flores":
        raise ConfigError(
            f"`evaluation.quality` {spec.direction}: `split` is for a FLORES folder, and "
            f"{spec.path} is none"
        )
    if kind == "file":
        return _from_file(spec, source, target)
    if kind == "wmt":
        found = read_wmt(str(spec.path).removeprefix(PREFIX), spec.direction)
    else:
        split = spec.split or SPLITS[-1]
        found = read_flores(Path(str(spec.path)), split, (source, target), spec.columns)
    return *found, "line"


def _kind(spec: QualitySet) -> str:
    if is_named(spec.path):
        return "wmt"
    return "flores" if isinstance(spec.path, str) and Path(spec.path).is_dir() else "file"


def _from_file(
    spec: QualitySet, source: str, target: str
) -> tuple[list[str], list[str], list[str] | None, str]:
    names = {code: spec.columns.get(code, code) for code in (source, target)}
    document = spec.columns.get(DOCUMENT)
    rows: list[Row] = all_rows(spec.path, [*names.values(), *([document] if document else [])])
    documents = [row[document] for row in rows] if document else None
    sides = [[row[names[code]] for row in rows] for code in (source, target)]
    unit = "row" if isinstance(spec.path, str) else "line"
    return sides[0], sides[1], documents, unit


def _first(
    spec: QualitySet,
    sources: Sequence[str],
    references: Sequence[str],
    documents: Sequence[str] | None,
    unit: str,
) -> Segments:
    """The first `size` of equally many."""
    where = spec.path if isinstance(spec.path, str) else ", ".join(spec.path.values())
    if not sources:
        raise DataError(f"{where}: the test set {spec.direction} is empty")
    for what, lines in (("source", sources), ("reference", references)):
        require_text(lines[: spec.size], where, what, unit)
    return Segments(
        list(sources[: spec.size]), list(references[: spec.size]),
        None if documents is None else list(documents[: spec.size]), len(sources),
    )  # fmt: skip


def require_text(lines: Sequence[str], where: object, what: str, unit: str = "line") -> None:
    """DataError naming the first line without text. A learned metric would score it all the same,
    and whatever it says of such a segment is no measurement."""
    for number, line in enumerate(lines, 1):
        if not line or not line.strip():
            raise DataError(
                f"{where}: {unit} {number} has no {what}; take the segment out of all files"
            )
