"""A study as a user wrote it."""

from __future__ import annotations

from mtray.schema.study import Study


def as_written(study: Study) -> Study:
    """The study without the defaults that its record spells out: an ability rejects options that it
    does not know, even empty ones."""
    return Study.model_validate(study.model_dump(exclude_defaults=True))
