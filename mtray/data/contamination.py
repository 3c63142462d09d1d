"""Evaluation texts in the training data: rows that pass a run's filters and contain a text of a dev
or test segment. They occur where a source allows leakage, and where test segments were added after
the run was bound, which changes no trial's data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mtray.data.evaluation_texts import Part, evaluation_texts
from mtray.data.filters import build_filter, filters_of
from mtray.data.leakage import EvaluationIndex, evaluation_index
from mtray.data.noise import with_lines
from mtray.data.readers.sources import source_rows
from mtray.schema import Source, Study


class Contamination(NamedTuple):
    """Rows of a source that trials draw from and that contain a text of the dev segments, or of the
    test segments. None: not searched, since the source's `leakage` is null."""

    source: str
    dev: int | None
    test: int | None


def contaminated_texts(study: Study, bound: Study) -> list[Contamination]:
    """The contamination of every source of `bound`, the study by which sources are built, with its
    replay generated; the segments are those of `study`. Reads only sources that can be
    contaminated, as fast as their filters run. Raises ConfigError or DataError."""
    later = study.evaluation != bound.evaluation
    modes = [filters_of(source, bound).leakage for source in bound.sources]
    wanted = [mode is not None and (later or mode == "allow") for mode in modes]
    if not any(wanted):
        return [_unread(source, mode) for source, mode in zip(bound.sources, modes, strict=True)]
    index = evaluation_index(bound)
    dev, test = _scored(study, "dev"), _scored(study, "test")
    return [
        _counted(source, bound, index, dev, test) if reads else _unread(source, mode)
        for source, mode, reads in zip(bound.sources, modes, wanted, strict=True)
    ]


def _unread(source: Source, mode: str | None) -> Contamination:
    """All overlaps were dropped, or none was searched for."""
    return (
        Contamination(source.name, None, None) if mode is None else Contamination(source.name, 0, 0)
    )


def _scored(study: Study, part: Part) -> EvaluationIndex:
    return EvaluationIndex(text for text in evaluation_texts(study, part) if not text.shown)


def _counted(
    source: Source,
    bound: Study,
    index: EvaluationIndex,
    dev: EvaluationIndex,
    test: EvaluationIndex,
) -> Contamination:
    row_filter = build_filter(source, bound, index)
    counts = [0, 0]
    for row in row_filter.kept(with_lines(source, source_rows(source))):
        texts = [row[side] or "" for side in row_filter.sides]
        for place, segments in enumerate((dev, test)):
            counts[place] += any(segments.find(text) for text in texts)
    return Contamination(source.name, *counts)


def contamination_lines(found: Iterable[Contamination]) -> list[str]:
    """A note for each source that is contaminated or was not searched."""
    lines = []
    for source, dev, test in found:
        if dev is None or test is None:
            lines.append(f"source {source}: not checked for evaluation texts (`leakage: null`)")
        elif dev or test:
            lines.append(
                f"source {source} has {dev:,} rows with a text of the dev segments and {test:,} "
                "with one of the test segments, and trials are trained on them"
            )
    return lines


def new_contamination_lines(study: Study, bound: Study) -> list[str]:
    """What a sweep reports where test segments were added or changed after its run was bound."""
    if study.evaluation == bound.evaluation:
        return []
    head = "`test` was added after the first start of the run, so it changes no trial's data"
    found = contamination_lines(contaminated_texts(study, bound))
    return [head, *(found or ["no source contains a text of the dev or test segments"])]
