"""Translation test sets: a study's `evaluation.quality` as segments.

`path` is one of
- a file with a column for each language, or a file for each language
  (`mtray.data.readers.sources`);
- `wmt:NAME`, one of sacrebleu's names (`mtray.data.benchmarks.wmt`);
- a FLORES folder, with `split` dev or devtest (`mtray.data.benchmarks.flores`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mtray.data.benchmarks.flores import SPLITS, read_flores
from mtray.data.benchmarks.segments import Segments
from mtray.data.benchmarks.wmt import read_wmt
from mtray.data.readers.sources import DOCUMENT, DOMAIN, LABELS, all_rows
from mtray.data.stratified_sample import sample_indices
from mtray.errors import ConfigError, DataError
from mtray.schema import SACREBLEU_PREFIX as PREFIX
from mtray.schema import QualitySet


def is_named(path: object) -> bool:
    """Whether a path is the name of a set instead of a path on disk."""
    return isinstance(path, str) and path.startswith(PREFIX)


def read_test_set(spec: QualitySet, seed: int = 0) -> tuple[Segments, int]:
    """The segments that are measured (`mtray.data.stratified_sample`), and the size of the whole
    set. ConfigError for options that do not fit the kind of set, DataError when it cannot be read
    or one of the segments lacks a source or a reference."""
    whole, unit = whole_test_set(spec)
    where = spec.path if isinstance(spec.path, str) else ", ".join(spec.path.values())
    if not whole:
        raise DataError(f"{where}: the test set {spec.direction} is empty")
    places = sample_indices(len(whole), spec.size, spec.take, seed, whole.strata)
    for what, lines in (("source", whole.sources), ("reference", whole.references)):
        require_text(lines, where, what, unit, places)
    return whole.at(places), len(whole)


def whole_test_set(spec: QualitySet) -> tuple[Segments, str]:
    """The whole set, whose unmeasured segments may be empty, and the unit of its positions: lines,
    rows or documents. Raises ConfigError for `unit: document` of a set without documents."""
    found, unit = _segments(spec)
    if spec.unit == "segment":
        return found, unit
    if found.documents is None:
        raise ConfigError(
            f"`evaluation.quality` {spec.direction}: `unit: document` needs the document of every "
            "segment, and the set has none; name its column: `columns: {document: COLUMN}`"
        )
    return found.by_document(), "document"


def _segments(spec: QualitySet) -> tuple[Segments, str]:
    source, target = spec.direction.split("-")
    kind = _kind(spec)
    sides = (source, target)
    allowed = {"file": (*sides, *LABELS), "flores": sides, "wmt": ()}[kind]
    if unknown := spec.columns.keys() - set(allowed):
        raise ConfigError(
            f"`evaluation.quality` {spec.direction}: unknown key {min(unknown)!r} in `columns`; "
            f"allowed: {', '.join(allowed) or 'none with a set of sacrebleu'}"
        )
    if spec.split is not None and kind != "flores":
        raise ConfigError(
            f"`evaluation.quality` {spec.direction}: `split` is only for a FLORES folder, and "
            f"{spec.path} is not one"
        )
    if kind == "file":
        return _from_file(spec, sides)
    if kind == "wmt":
        return read_wmt(str(spec.path).removeprefix(PREFIX), spec.direction), "line"
    split = spec.split or SPLITS[-1]
    return read_flores(Path(str(spec.path)), split, sides, spec.columns), "line"


def _kind(spec: QualitySet) -> str:
    if is_named(spec.path):
        return "wmt"
    return "flores" if isinstance(spec.path, str) and Path(spec.path).is_dir() else "file"


def _from_file(spec: QualitySet, sides: tuple[str, str]) -> tuple[Segments, str]:
    labels = {role: name for role, name in spec.columns.items() if role in LABELS}
    names = {role: spec.columns.get(role, role) for role in sides} | labels
    rows = all_rows(spec.path, [names[role] for role in sides], list(labels.values()))
    columns = {role: [row[name] for row in rows] for role, name in names.items()}
    source, target = (columns[role] for role in sides)
    unit = "row" if isinstance(spec.path, str) else "line"
    return Segments(source, target, columns.get(DOCUMENT), columns.get(DOMAIN)), unit


def require_text(
    lines: Sequence[str],
    where: object,
    what: str,
    unit: str = "line",
    places: Sequence[int] | None = None,
) -> None:
    """DataError naming the first line (of `places`, or of all) without text. A learned metric would
    score it anyway, and the score would be meaningless."""
    for place in range(len(lines)) if places is None else places:
        if not lines[place] or not lines[place].strip():
            raise DataError(
                f"{where}: {unit} {place + 1} has no {what}; remove the segment from all files"
            )
