"""The speed of every filter, and the memory of duplicate removal.

    python benchmarks/filters.py            # speed, on 200,000 real pairs
    python benchmarks/filters.py --memory   # memory, for 2.8 million synthetic rows

Tatoeba's English-Ukrainian and English-Spanish pairs, as in the default study, one process;
`wrong_language` uses all cores. Speed is rows per second, by wall clock and by CPU seconds of the
process, which are more reliable if other processes use the machine.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from mtray.data.filters import Row, RowFilter, filters_of
from mtray.data.leakage import evaluation_index
from mtray.data.readers.sources import read_columns
from mtray.embedded.corpora import prepare
from mtray.schema import Source
from mtray.study import load_study
from mtray.sweep_command import DEFAULT_STUDY

OFF = {"empty": False, "leakage": None, "shots_leakage": None}
CASES = {
    "all off": {},
    "empty": {"empty": True},
    "control_characters": {"control_characters": True},
    "characters": {"characters": {"at_least": 2, "at_most": 1000}},
    "words": {"words": {"at_least": 1, "at_most": 200}},
    "length_ratio": {"length_ratio": 3},
    "identical": {"identical": True},
    "leakage": {"leakage": "allow", "shots_leakage": "allow"},
    "wrong_language: quick": {"wrong_language": "quick"},
    "wrong_language: exact": {"wrong_language": "exact"},
    "duplicates": {"duplicates": "row"},
    "near_duplicates": {"near_duplicates": 0.8},
}
MEMORY_ROWS = 2_800_000


def real_pairs(wanted: int) -> list[tuple[Source, list[Row]]]:
    """So many pairs, by language pair."""
    folder, found = prepare(), []
    for language in ("uk", "es"):
        rows: list[Row] = []
        for split in ("pretrain", "finetune"):
            path = str(folder / f"parallel.en-{language}.{split}.parquet")
            read = read_columns(path, ["en", language])[: wanted - len(rows)]
            rows += [{"source": row["en"], "target": row[language]} for row in read]
        source = Source(name=language, kind="parallel", languages=("en", language), path=path)
        found.append((source, rows))
        wanted -= len(rows)
    return found


def speeds(wanted: int) -> None:
    corpora = real_pairs(wanted)
    study = load_study(Path(DEFAULT_STUDY))
    index = evaluation_index(study)
    total = sum(len(rows) for _, rows in corpora)
    print(f"{total:,} pairs; {len(index):,} evaluation texts")
    for name, options in CASES.items():
        if "wrong_language" in options:  # models are loaded once in a process
            _run(corpora[0][0], corpora[0][1][:100], options)
        wall, cpu = time.perf_counter(), time.process_time()
        left_out: dict[str, int] = {}
        for source, rows in corpora:
            for reason, count in _run(source, rows, options, index).items():
                left_out[reason] = left_out.get(reason, 0) + count
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"{name:24} {total / wall:>10,.0f} rows/s {total / cpu:>10,.0f} rows/CPU s", left_out)


def _run(source, rows, options, index=None) -> dict[str, int]:
    filters = filters_of(source.model_copy(update={"filters": {**OFF, **options}}), STUDY)
    looked_for = index if "leakage" in options else None
    row_filter = RowFilter(source, filters, looked_for)
    for _ in row_filter.kept(rows):
        pass
    return row_filter.counts | {f"allowed {k}": v for k, v in row_filter.overlaps.items()}


def made_up(count: int) -> Iterator[Row]:
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(50_000)]
    for _ in range(count):
        text = " ".join(rng.choices(words, k=10))
        yield {"source": text, "target": text[::-1]}


def memory() -> None:
    source = Source(name="x", kind="parallel", languages=("en", "uk"), path="x")
    start = _peak()
    options = {**OFF, "duplicates": "row", "near_duplicates": 0.8}
    filters = filters_of(source.model_copy(update={"filters": options}), STUDY)
    row_filter = RowFilter(source, filters, None)
    for _ in row_filter.kept(made_up(MEMORY_ROWS)):
        pass
    print(f"{row_filter.counts}: {start:,.0f} MB before, {_peak():,.0f} MB at most")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--memory", action="store_true")
    args = parser.parse_args()
    memory() if args.memory else speeds(args.rows)


STUDY = load_study(Path(DEFAULT_STUDY))

if __name__ == "__main__":
    main()
