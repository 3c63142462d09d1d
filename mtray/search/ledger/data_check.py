"""Checks that the sources of a resumed run are those that its trials were trained on: a file, the
tokenizer or a package may have changed between two starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from mtray.data.draw_comparison import drawn_again
from mtray.data.mixing import Draw
from mtray.data.recipe_tables import rendered_tables
from mtray.data.tables import Table
from mtray.errors import RunError
from mtray.report.records import read_records
from mtray.schema import Mix, Study, TrialRecord


def check_data(run_dir: Path, study: Study, store: Mapping[str, Table]) -> None:
    """Raise RunError if a trial of the run would not draw the examples that its record reports.
    Only as many trials are redrawn as are needed to check every source used."""
    for record in _telling(read_records(run_dir).records):
        recorded = _held_as(record.mix, rendered_tables(record.recipe, store, study))
        found = drawn_again(recorded, study, store, record.recipe, Draw(study.seed))
        difference = found.difference
        if difference is not None:
            raise RunError(
                f"run {run_dir.name!r}: trial {record.number} was trained on other data than "
                f"the present ones: {difference.text}; restore what has changed, or choose another "
                "--name"
            )


def _telling(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Trials of this run with the study's own draw, each of which uses a source that no earlier one
    does."""
    found, known = [], set[str]()
    for record in records:
        sources = {share.source for share in record.mix.shares if share.realised}
        if record.taken_from is None and not record.replicate and sources - known:
            found.append(record)
            known |= sources
    return found


def _held_as(recorded: Mix, tables: Mapping[str, Table]) -> Mix:
    """The mix with the current source sizes, so that only what was drawn is compared."""
    shares = (
        share.model_copy(update={"held": len(tables[share.source])})
        if share.source in tables
        else share
        for share in recorded.shares
    )
    return recorded.model_copy(update={"shares": tuple(shares)})
