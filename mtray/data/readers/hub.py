"""Hugging Face data sets: a folder of `save_to_disk`, a folder of Parquet files, or a name on the
hub (`hf:NAME`), which is streamed, or read from the cache where the hub cannot be reached. Code
of a data set is never run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mtray.data.readers.byte_streams import open_stream
from mtray.data.readers.folders import data_files, entries_below
from mtray.data.readers.git_lfs import refuse_pointer
from mtray.data.readers.hub_cache import downloaded_set, prepared_set
from mtray.data.readers.objects import WITHIN, UnreadTurns, texts
from mtray.data.readers.options import ReadOptions
from mtray.data.readers.parquet import read_parquet
from mtray.data.readers.parquet_size import BATCH
from mtray.data.readers.reachability import short_timeouts, why_unreachable
from mtray.data.readers.remarks import Remarks
from mtray.errors import ConfigError, DataError
from mtray.git_lfs import MOST_BYTES
from mtray.schema import HUB_PREFIX

Row = dict[str, str]
SHARD = re.compile(r"(?P<split>.+?)(-\d{3,}-of-\d{3,}.*|[-_.]\d+)?\.parquet")
SAVED, SAVED_SPLITS = "state.json", "dataset_dict.json"


def read_folder(
    folder: Path, columns: Sequence[str], read_options: ReadOptions, remarks: Remarks
) -> Iterator[Row]:
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
        return _saved(folder, columns, read_options, remarks)
    return _shards(folder, columns, read_options, remarks)


def _shards(
    folder: Path, columns: Sequence[str], read_options: ReadOptions, remarks: Remarks
) -> Iterator[Row]:
    splits: dict[str, list[Path]] = {}
    for path in data_files(folder, [".parquet"]):
        name = SHARD.fullmatch(path.name)
        splits.setdefault(name["split"] if name else path.stem, []).append(path)
    split = read_options.split or next(iter(splits))
    if split not in splits or (not read_options.split and len(splits) > 1):
        raise DataError(f"{folder}: which `split`? There are {', '.join(splits)}")
    for path in splits[split]:
        with open_stream(path, remarks) as file:
            yield from read_parquet(file, columns, read_options.labels)


def _saved(
    folder: Path, columns: Sequence[str], read_options: ReadOptions, remarks: Remarks
) -> Iterator[Row]:
    for path in data_files(folder):
        with path.open("rb") as file:
            refuse_pointer(path, file.read(MOST_BYTES))

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
    unread = UnreadTurns(columns, str(folder), remarks)
    return _rows(found, str(folder), columns, read_options.labels, unread)


def read_hub(
    name: str, columns: Sequence[str], read_options: ReadOptions, remarks: Remarks
) -> Iterator[Row]:
    """The rows of a data set on the hub, of the split `train` unless another one is named; from the
    cache where the hub cannot be reached. DataError when it does not exist, or is neither reached
    nor cached."""
    plain = name.removeprefix(HUB_PREFIX)
    if Path(plain).is_dir():
        for _ in entries_below(Path(plain)):  # DataError where there are too many
            pass
        found = _guarded(lambda: _streamed(plain, read_options), f"`{name}`")
    elif cause := why_offline():
        found = _guarded(lambda: _cached(plain, read_options, cause, remarks), f"`{name}`")
    else:
        found = _guarded(lambda: _streamed(plain, read_options), f"`{name}`")
    unread = UnreadTurns(columns, f"`{name}`", remarks)
    return _rows(found, f"`{name}`", columns, read_options.labels, unread)


def why_offline() -> str | None:
    """Why the hub is not asked; None where it can be reached."""
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    cause = why_unreachable(ENDPOINT)
    return cause and f"{ENDPOINT} cannot be reached: {cause}"


def _streamed(name: str, read_options: ReadOptions) -> Any:
    from datasets import load_dataset

    split, own = read_options.split or "train", not Path(name).is_dir()
    with short_timeouts():
        return load_dataset(
            name,
            read_options.config,
            split=split,
            revision=read_options.revision if own else None,
            streaming=True,
        )


def _cached(name: str, read_options: ReadOptions, cause: str, remarks: Remarks) -> Any:
    """A data set as it was read before."""
    found, place = prepared_set(name, read_options) or (None, None)
    if found is None and (place := downloaded_set(name, read_options.revision)):
        found = _streamed(str(place), read_options)
    if found is None:
        raise DataError(
            f"`{HUB_PREFIX}{name}`: not in the cache, and {cause}; where there is a network run "
            f"`hf download --repo-type dataset {name}`, and copy that cache ($HF_HUB_CACHE)"
        )
    remarks.note(f"`{HUB_PREFIX}{name}`", f"read from the cache, {place} ({cause})")
    return found


def _rows(
    found: Any, name: str, columns: Sequence[str], labels: Sequence[str], unread: UnreadTurns
) -> Iterator[Row]:
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
            unread.see(item)
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
