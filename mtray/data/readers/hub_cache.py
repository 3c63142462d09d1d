"""Data sets of the Hugging Face hub that were read before, for a machine without a network: as
`load_dataset` prepared them (`$HF_DATASETS_CACHE`), or as their files were downloaded
(`$HF_HUB_CACHE`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mtray.data.readers.options import ReadOptions
from mtray.errors import DataError


def prepared_set(name: str, read_options: ReadOptions) -> tuple[Any, Path] | None:
    """The split of a prepared data set, and its folder: that of the revision if one is given, else
    the last that was prepared. None where there is none; DataError where several configurations
    are there and none is named."""
    from datasets import Dataset, concatenate_datasets

    folders = _prepared(name, read_options.revision)
    configs = {folder.parents[1].name for folder in folders}
    config = read_options.config
    if config is None and len(configs) > 1:
        raise DataError(f"`{name}`: which `config`? Cached are {', '.join(sorted(configs))}")
    folders = [f for f in folders if config in (None, f.parents[1].name)]
    for folder in sorted(folders, key=lambda f: f.stat().st_mtime, reverse=True):
        split = re.escape(read_options.split or "train")
        pattern = re.compile(rf".+-{split}(-\d{{5}}-of-\d{{5}})?\.arrow")
        if files := sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name)):
            return concatenate_datasets([Dataset.from_file(str(path)) for path in files]), folder
    return None


def _prepared(name: str, revision: str | None) -> list[Path]:
    """Folders NAME/CONFIG/VERSION/COMMIT of a data set that are complete."""
    from datasets.config import HF_DATASETS_CACHE
    from datasets.naming import camelcase_to_snakecase

    *owner, own = name.split("/")
    root = Path(HF_DATASETS_CACHE) / "___".join([*owner, camelcase_to_snakecase(own)])
    return [
        info.parent
        for info in root.glob("*/*/*/dataset_info.json")
        if revision is None or info.parent.name.startswith(revision)
    ]


def downloaded_set(name: str, revision: str | None) -> Path | None:
    """The folder with a data set's downloaded files; None where there is none, or it holds no
    data."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = snapshot_download(
            name, repo_type="dataset", revision=revision, local_files_only=True
        )
    except (LocalEntryNotFoundError, ValueError, OSError):
        return None
    folder = Path(found)
    # the card alone is downloaded by whatever only asks what the set is
    return folder if any(p.name != "README.md" for p in folder.iterdir()) else None
