#!/usr/bin/env python3
"""Token stores built by one process alone, with one task and with two: what is faster, and how many
cores one process can supply with rows.

    python benchmarks/store_tasks.py [--rows 150000] [--tasks 1 2]

The rows are those of `benchmarks/store_rate.py`, and every process uses one thread for the
tokenizer. Each number of tasks has a Ray cluster of its own on this machine, whose processes have
imported everything before. CPU seconds are printed next to wall-clock seconds: the tasks share the
cores with the process that reads and writes, and with whatever else runs here.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("RAYON_NUM_THREADS", "1")  # of tokenizers
os.environ.setdefault("OMP_NUM_THREADS", "1")

from data import make_files, make_study
from store_rate import WANTED

WARM_ROWS = 40_000  # enough for a shard in every process
NANOSECONDS = "cpu_ns"  # among the counts of what rows became


@dataclass(frozen=True)
class Timed:
    """A `TokenMaker` that counts the CPU time of its thread; the rows' filter runs within."""

    maker: Any

    @property
    def tokenizer(self) -> Any:
        """A task refuses a maker whose tokenizer is not the store's."""
        return self.maker.tokenizer

    def made(self, rows: Iterable[Any]) -> tuple[Any, Counter[str]]:
        began = time.thread_time_ns()
        tokens, counts = self.maker.made(rows)
        return tokens, counts + Counter({NANOSECONDS: time.thread_time_ns() - began})


@dataclass(frozen=True)
class Measured:
    """Seconds for all rows of a store: wall clock, CPU of this process, CPU of the tasks."""

    wall: float
    own: float
    tasks: float
    key: str


def measured(folder: Path, store: str, tokenizer: Any, helpers: Any = None) -> Measured:
    """A store of the pairs in `folder`, built anew."""
    from mtray.data.pipeline import Pipeline

    os.environ["MTRAY_STORE"] = str(folder / store)
    study = make_study(folder)
    pipeline = Pipeline(study, tokenizer, helpers=helpers)
    pipeline.inputs(study.sources[0])  # hashes the files
    wall, own = time.perf_counter(), time.process_time()
    manifest = pipeline.store(study.sources[0]).manifest
    wall, own = time.perf_counter() - wall, time.process_time() - own
    if helpers and manifest["builders"]["by_tasks"] < manifest["builders"]["shards"]:
        raise SystemExit(f"not all shards were built by tasks: {manifest['builders']}")
    inside = manifest["rendering"].get(NANOSECONDS, 0) / 1e9
    return Measured(wall, own, inside if helpers else 0.0, manifest["sha256"])


class Helpers:
    """The tasks of a cluster, timed."""

    def __init__(self, tasks: Any) -> None:
        self._tasks = tasks

    def runner(self, store: str, work: Any, inputs: Any) -> Any:
        return self._tasks.runner(store, work._replace(maker=Timed(work.maker)), inputs)


def with_tasks(count: int, folder: Path, warm: Path, tokenizer: Any) -> Measured:
    """All shards built by `count` tasks."""
    import ray

    from mtray.data import shards
    from mtray.schema import Resources
    from mtray.search.execution import ray_environment, shard_tasks

    ray_environment.apply()
    shards.ALONE, shard_tasks.MANY_CPUS = 0, 1
    ray.init(
        address="local", num_cpus=count, include_dashboard=False, log_to_driver=False,
        runtime_env={"env_vars": ray_environment.of_workers()},
    )  # fmt: skip
    try:
        helpers = Helpers(shard_tasks.ShardTasks("local", Resources(), lambda line: None))
        measured(warm, f"warm-{count}", tokenizer, helpers)
        return measured(folder, f"tasks-{count}", tokenizer, helpers)
    finally:
        ray.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=150_000)
    parser.add_argument("--tasks", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    from mtray.training.models import load_tokenizer

    with tempfile.TemporaryDirectory(prefix="store-tasks-") as name:
        folder, warm = Path(name) / "all", Path(name) / "warm"
        for place, rows in ((folder, args.rows), (warm, WARM_ROWS)):
            place.mkdir()
            make_files(place, rows)
        tokenizer = load_tokenizer(make_study(folder).model)
        measured(warm, "warm", tokenizer)
        found = {"this process": measured(folder, "alone", tokenizer)}
        for count in args.tasks:
            where = f"{count} task{'s' * (count > 1)}"
            found[where] = with_tasks(count, folder, warm, tokenizer)
    if len({result.key for result in found.values()}) > 1:
        raise SystemExit("the stores are not the same")
    show(found, args.rows)


def show(found: dict[str, Measured], rows: int) -> None:
    alone = found["this process"]
    print("| built by | s | rate | CPU s per million rows: this process | tasks |")
    print("| --- | --- | --- | --- | --- |")
    for where, result in found.items():
        own, tasks = (seconds / rows * 1e6 for seconds in (result.own, result.tasks))
        rate = alone.wall / result.wall
        print(f"| {where} | {result.wall:.1f} | {rate:.2f} × | {own:.1f} | {tasks:.1f} |")
    last = replace(list(found.values())[-1])
    serial = last.own / rows * WANTED
    print(f"\none process supplies {last.tasks / last.own:.0f} cores with rows")
    print(f"100 million rows: {(last.own + last.tasks) / rows * WANTED / 3600:.1f} hours of one "
          f"core, of which {serial / 60:.0f} minutes are serial")  # fmt: skip


if __name__ == "__main__":
    main()
