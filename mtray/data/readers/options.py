"""Options of a source that its path does not determine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadOptions:
    """Options of reading a source.

    - `format`: where neither name nor content shows it.
    - `split`, `config`, `revision`: of a data set.
    - `labels`: the columns that may hold integers, such as document ids.
    """

    format: str | None = None
    split: str | None = None
    config: str | None = None
    revision: str | None = None
    labels: tuple[str, ...] = ()


BY_FILE_NAME = ReadOptions()
