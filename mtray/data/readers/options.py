"""What a path alone does not say of a source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadOptions:
    """`format` where neither name nor content tells it; `split`, `config` and `revision` of a data
    set; `labels` are the columns that may hold whole numbers, such as a document's."""

    format: str | None = None
    split: str | None = None
    config: str | None = None
    revision: str | None = None
    labels: tuple[str, ...] = ()


BY_FILE_NAME = ReadOptions()
