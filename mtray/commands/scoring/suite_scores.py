"""The scores that every suite of `score` returns, and how they are printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtray.errors import DataError

if TYPE_CHECKING:
    from mtray.analysis.uncertainty import Measurement


@dataclass(frozen=True)
class SuiteScores:
    """Measurements by name, and the raw counts behind them."""

    values: dict[str, Measurement]
    counts: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def as_json(
    suite: str, files: dict[str, str], found: SuiteScores, resamples: int, seed: int
) -> Any:
    """`scores` holds value, n, low and high of the 95 % interval, and signature, by name."""
    from mtray.analysis.uncertainty import score

    scores = {name: score(m, resamples, seed).model_dump() for name, m in found.values.items()}
    unread = [
        f"{name}: {m.truncated:,} of {len(m.stats):,} segments are longer than the model reads; it "
        "scored the beginning alone"
        for name, m in found.values.items()
        if m.truncated
    ]
    unread += [
        f"{name}: {sum(m.divided.values()):,} of {len(m.stats):,} segments are longer than the "
        f"model reads and were scored in parts: {', '.join(f'{n} by {w}' for w, n in parts)}"
        for name, m in found.values.items()
        if (parts := m.divided.items())
    ]
    return {
        "suite": suite,
        "files": files,
        "scores": scores,
        "counts": found.counts,
        "notes": [*found.notes, *unread],
    }


def parallel_lines(**paths: Path) -> dict[str, list[str]]:
    """The lines of files that must have the same length. DataError with every file and its count
    when they differ or are empty."""
    from mtray.data.readers.lines import read_lines

    lines = {role: read_lines(path) for role, path in paths.items()}
    if len({len(found) for found in lines.values()}) > 1 or not next(iter(lines.values())):
        counts = ", ".join(f"{paths[role]} has {len(found):,}" for role, found in lines.items())
        raise DataError(f"expected files with equally many lines, at least one, found {counts}")
    return lines
