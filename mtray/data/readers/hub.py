"""Hugging Face data sets: a folder of `save_to_disk`, a folder of Parquet files, or a name on the
hub (`hf:NAME`), which is streamed. Code of a data set is never run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mtray.data.readers.byte_streams import open_stream
from mtray.data.readers.objects import WITHIN, texts
from mtray.data.readers.options import ReadOptions
from mtray.data.readers.parquet import BATCH, read_parquet
from mtray.data.readers.reachability import short_timeouts, why_unreachable
from mtray.errors import ConfigError, DataError
from mtray.schema import HUB_PREFIX

Row = dict[str, str]
SHARD = re.compile(r"(?P<split>.+?)(-\d{3,}-of-\d{3,}.*|[-_.]\d+)?\.parquet")
SAVED, SAVED_SPLITS = "state.json", "dataset_dict.json"


def read_folder(folder: Path, columns: Sequence[str], read_options: ReadOptions) -> Iterator[Row]:
    """The rows of a data set's folder. DataError when it is not one."""
    if read_options.revision:
        raise ConfigError(
            f"{folder}: `revision` is only for data sets on the hub ({HUB_PREFIX}NAME)"
        )
    if read_options.config:
        folder = folder / read_options.config
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder (named by the source's `config`)")
    if (folder / SAVED).is_file() or (folder / SAVED_SPLITS).is_file():
        return _saved(folder, columns, read_options)
    if not any(folder.rglob("*.parquet")):
        raise DataError(
            f"{folder}: a folder; expected a file, or a data set: a folder by `save_to_disk` or of "
            "Parquet files"
        )
    return _shards(folder, columns, read_options)


def _shards(folder: Path, columns: Sequence[str], read_options: ReadOptions) -> Iterator[Row]:
    splits: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        name = SHARD.fullmatch(path.name)
        splits.setdefault(name["split"] if name else path.stem, []).append(path)
    split = read_options.split or next(iter(splits))
    if split not in splits or (not read_options.split and len(splits) > 1):
        raise DataError(f"{folder}: which `split`? There are {', '.join(splits)}")
    for path in splits[split]:
        with open_stream(path) as file:
            yield from read_parquet(file, columns, read_options.labels)


def _saved(folder: Path, columns: Sequence[str], read_options: ReadOptions) -> Iterator[Row]:
    def load() -> Any:
        from datasets import DatasetDict, load_from_disk

        found = load_from_disk(str(folder))
        if not isinstance(found, DatasetDict):
            return found
        if read_options.split not in found:
            raise DataError(f"{folder}: which `split`? There are {', '.join(found)}")
        return found[read_options.split]

    found = _guarded(load, str(folder))
    if read_options.split and str(found.split or read_options.split) != read_options.split:
        raise DataError(f"{folder}: holds the split {found.split}, not {read_options.split!r}")
    return _rows(found, str(folder), columns, read_options.labels)


def read_hub(name: str, columns: Sequence[str], read_options: ReadOptions) -> Iterator[Row]:
    """The rows of a data set on the hub, of the split `train` unless another one is named.
    DataError when it does not exist or cannot be reached."""
    plain = name.removeprefix(HUB_PREFIX)

    def load() -> Any:
        from datasets import load_dataset

        with short_timeouts():
            return load_dataset(
                plain,
                read_options.config,
                split=read_options.split or "train",
                revision=read_options.revision,
                streaming=True,
            )

    if not Path(plain).is_dir():
        from huggingface_hub.constants import ENDPOINT

        if cause := why_unreachable(ENDPOINT):
            raise DataError(f"`{name}`: {ENDPOINT} cannot be reached ({cause})")
    return _rows(_guarded(load, f"`{name}`"), f"`{name}`", columns, read_options.labels)


def _rows(found: Any, name: str, columns: Sequence[str], labels: Sequence[str]) -> Iterator[Row]:
    """Only the required columns are read, so that images, for example, are not."""
    there = found.column_names  # not always known for a streamed set
    if there:
        tops = [_top(name, column, there) for column in columns]
        found = found.select_columns(list(dict.fromkeys(tops)))
    batches = iter(found.with_format("arrow").iter(BATCH) if there else found.iter(BATCH))
    row = 0
    while (batch := _guarded(lambda: next(batches, None), name)) is not None:
        for item in _items(batch):
            row += 1
            yield texts(f"{name}: row {row:,}", item, columns, labels)


def _items(batch: Any) -> list[dict[str, Any]]:
    if not isinstance(batch, dict):
        items: list[dict[str, Any]] = batch.to_pylist()
        return items
    return [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]


def _top(name: str, column: str, there: Sequence[str]) -> str:
    for top in (column, column.partition(".")[0], WITHIN):
        if top in there:
            return top
    raise DataError(f"{name}: no column {column!r}; columns there: {', '.join(there)}")


def _guarded(act: Callable[[], Any], name: str) -> Any:
    """The result of `act`; any exception of `datasets`, which documents no list of them, becomes a
    DataError."""
    try:
        return act()
    except (DataError, ConfigError):
        raise
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        raise DataError(f"{name}: not readable: {type(error).__name__}: {reason}") from None
