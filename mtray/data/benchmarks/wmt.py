"""Test sets by sacrebleu's names, such as wmt22, with sacrebleu's own readers and cache
(`$SACREBLEU`, else ~/.sacrebleu)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtray.compat.sacrebleu import cache_folder, downloads
from mtray.data.benchmarks.segments import Segments
from mtray.data.readers.lines import read_lines
from mtray.data.readers.reachability import short_timeouts, why_unreachable
from mtray.errors import ConfigError, DataError
from mtray.schema import SACREBLEU_PREFIX as PREFIX

# sacrebleu's fields by role; the domain is `genre` in the sets before 2021, and missing in some
# later ones
NAMES = {"document": ("docid",), "domain": ("domain", "genre")}


def _dataset(name: str, direction: str) -> Any:
    from sacrebleu.dataset import DATASETS

    if name not in DATASETS:
        raise ConfigError(
            f"`{PREFIX}{name}`: sacrebleu has no such set; it has {', '.join(sorted(DATASETS))}"
        )
    if direction not in DATASETS[name].langpairs:
        raise ConfigError(
            f"`{PREFIX}{name}`: no direction {direction}; there are "
            f"{', '.join(sorted(DATASETS[name].langpairs))}"
        )
    return DATASETS[name]


def _files(dataset: Any, direction: str) -> tuple[list[Path], list[str], list[Path]]:
    """All files of a direction, what each holds, and those that hold references; downloaded if
    necessary."""
    absent = [url for url, file in downloads(dataset).items() if not file.is_file()]
    cause = why_unreachable(absent[0]) if absent else None
    if cause is None:
        try:
            with short_timeouts():
                return (
                    [Path(file) for file in dataset.get_files(direction)],
                    list(dataset.fieldnames(direction)),
                    [Path(file) for file in dataset.get_reference_files(direction)],
                )
        # sacrebleu exits on a wrong checksum; a truncated archive fails in many ways
        except (Exception, SystemExit) as error:
            cause = f"{type(error).__name__}: {error}"
    raise DataError(
        f"`{PREFIX}{dataset.name}` {direction} is not in sacrebleu's cache "
        f"{cache_folder(dataset)} and cannot be fetched ({cause}); where there is a network run "
        f"`sacrebleu -t {dataset.name} -l {direction} --echo src > /dev/null` and copy that folder"
    )


def read_wmt(name: str, direction: str) -> Segments:
    """One of sacrebleu's sets. ConfigError for an unknown name or direction and for a set with
    several references, DataError when it is neither cached nor reachable."""
    dataset = _dataset(name, direction)
    files, fields, reference_files = _files(dataset, direction)
    if len(reference_files) != 1:
        raise ConfigError(
            f"`{PREFIX}{name}` {direction} has {len(reference_files)} references for each segment; "
            "exactly one is needed, so use another of sacrebleu's names for the set"
        )
    wanted = {"source": files[fields.index("src")], "reference": reference_files[0]}
    for role, names in NAMES.items():
        if found := [files[fields.index(name)] for name in names if name in fields]:
            wanted[role] = found[0]
    lines = {role: read_lines(file) for role, file in wanted.items()}
    if len({len(found) for found in lines.values()}) > 1:
        counts = ", ".join(f"{file} has {len(lines[role]):,}" for role, file in wanted.items())
        raise DataError(
            f"expected files with equally many lines, found {counts}; download the set again"
        )
    return Segments(lines["source"], lines["reference"], lines.get("document"), lines.get("domain"))
