#!/usr/bin/env python3
"""How fast a token store is built, and what 100 million rows would take.

    python benchmarks/store_rate.py [--rows 100000]

CPU seconds of one core, by step, of the sentence pairs of `benchmarks/data.py`: other load on the
machine changes them less than wall-clock seconds. It also prints by how many MB the memory of the
process grows while it builds the store.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("RAYON_NUM_THREADS", "1")  # of tokenizers
os.environ.setdefault("OMP_NUM_THREADS", "1")

from data import make_files, make_study

WANTED = 100_000_000  # rows


def exhausted(rows: Iterable[Any]) -> int:
    return sum(1 for _ in rows)


def resident(kind: str) -> float:
    """Memory of this process in MiB. `kind`: `VmRSS` (now) or `VmHWM` (the peak so far);
    `resource.getrusage` would also count the process that started this one."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith(f"{kind}:"))


def built(pipeline: Any, source: Any) -> tuple[float, float, Any]:
    """CPU seconds of all steps together, MiB by which memory grew at most, and the store."""
    pipeline.inputs(source)  # hashes the files, which a sweep does once and is not measured
    before, began = resident("VmRSS"), time.process_time()
    store = pipeline.store(source)
    return time.process_time() - began, resident("VmHWM") - before, store


def steps(folder: Path, pipeline: Any, source: Any) -> dict[str, float]:
    """CPU seconds by step for all rows of `pairs`."""
    from mtray.data.readers.sources import source_rows
    from mtray.data.shards import cut
    from mtray.data.token_chunks import hashed
    from mtray.data.token_files import TokenWriter
    from mtray.data.token_makers import encoded

    limit = pipeline.study.training.max_length
    found, seconds = {}, time.process_time()

    def took(name: str) -> None:
        nonlocal seconds
        now = time.process_time()
        found[name] = now - seconds
        seconds = time.process_time()

    exhausted(source_rows(source))
    took("read")
    exhausted(pipeline.filter_of(source).kept(source_rows(source)))
    took("filter")
    shards = list(cut(pipeline.examples(source, {})))
    took("render")
    arrays = [encoded(shard.rows, pipeline.tokenizer, limit) for shard in shards]
    took("encode")
    writer = TokenWriter(folder / "tokens.arrow")
    for chunk in arrays:
        writer.add(hashed(*chunk))
    writer.close()
    took("hash and write")
    # each of the first three began with the rows of the one before
    found["render"] -= found["filter"]
    found["filter"] -= found["read"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    args = parser.parse_args()
    from mtray.data.pipeline import Pipeline
    from mtray.training.models import load_tokenizer

    with tempfile.TemporaryDirectory(prefix="store-rate-") as name:
        folder = Path(name)
        os.environ["MTRAY_STORE"] = str(folder / "store")
        maker = get_context("spawn").Process(target=make_files, args=(folder, args.rows))
        maker.start()  # in a process of its own: memory freed here would be used again by the store
        maker.join()
        study = make_study(folder)
        pipeline, pairs = Pipeline(study, load_tokenizer(study.model)), study.sources[0]
        whole, memory, store = built(pipeline, pairs)  # first, since the steps below grow memory
        found = steps(folder, pipeline, pairs) | {"all steps, as in a sweep": whole}
        size = (store.folder / "tokens.arrow").stat().st_size / args.rows
        source = sum((folder / f).stat().st_size for f in ("pairs.en", "pairs.es")) / args.rows
        print("| step | CPU s per million rows | rows per second and core |\n| --- | --- | --- |")
        for step, seconds in found.items():
            each = seconds / args.rows * 1e6
            print(f"| {step} | {each:.1f} | {1e6 / each:,.0f} |")
        hours = whole / args.rows * WANTED / 3600
        print(f"\nmemory grows by at most {memory:.0f} MiB")
        print(f"bytes per row: {source:.0f} of text, {size:.0f} of the store")
        print(f"100 million rows: {hours:.1f} hours of one core, {size * WANTED / 1e9:.0f} GB")


if __name__ == "__main__":
    main()
