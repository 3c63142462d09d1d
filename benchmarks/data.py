#!/usr/bin/env python3
"""Cost of data preparation with real data: building the token store once, and the mix of every
further trial, compared with `datasets` (map, interleave, shuffle).

    python benchmarks/data.py [--rows 1400000] [--folder DIR]

Both sides read the same files, over a million sentence pairs and as many monolingual lines:
sentences of the default study's corpora, two or three concatenated at random with a seed, since no
registry has as many of their own. Both encode with the same function, `datasets` with both cores
(`num_proc`), and only empty rows are filtered. Every measurement runs in a process of its own.

"First" starts from the files. A "trial" comes later, in a process that has imported everything and
uses what the first left on disk: `seconds` until the first batch of the mix is available, a batch
of the same size from the same `collate`; `examples/s` of the batches after it, and `epoch s`, the
time for the whole mix that follows from both. `datasets` mixes in two ways: as in its manual
(`interleave_datasets`), and with less work, the corpora concatenated and shuffled. `anonymous MB`
is memory that is not a mapped file, in addition to what the process had before.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_rival import concatenated_trials, datasets_first, interleaved_trials
from data_watch import RECIPES, SEED, Watch, read_on


def make_files(folder: Path, rows: int) -> None:
    """`pairs.en`, `pairs.es`, `mono.en` and a small evaluation set."""
    import numpy as np
    import pyarrow.parquet as pq

    from mtray.embedded.corpora import prepare

    corpora = prepare()
    table = pq.read_table(corpora / "parallel.en-es.pretrain.parquet").to_pydict()
    draw = np.random.default_rng(SEED)

    def write(names: dict[str, list[str]], count: int) -> None:
        files = {name: open(folder / name, "w", encoding="utf-8") for name in names}  # noqa: SIM115
        size = len(next(iter(names.values())))
        for start in range(0, count, 50_000):
            picks = draw.integers(size, size=(min(50_000, count - start), 3))
            parts = draw.integers(2, 4, size=len(picks))
            for name, texts in names.items():
                files[name].writelines(
                    " ".join(texts[i] for i in pick[:n]) + "\n"
                    for pick, n in zip(picks.tolist(), parts.tolist(), strict=True)
                )
        for file in files.values():
            file.close()

    write({"pairs.en": table["en"], "pairs.es": table["es"]}, rows)
    mono = pq.read_table(corpora / "mono.en.pretrain.parquet").to_pydict()["text"]
    write({"mono.en": mono}, rows)
    dev = pq.read_table(corpora / "parallel.en-es.dev.parquet").slice(0, 400).to_pydict()
    lines = "".join(f"{a}\t{b}\n" for a, b in zip(dev["en"], dev["es"], strict=True))
    (folder / "dev.tsv").write_text("en\tes\n" + lines, encoding="utf-8")


def make_study(folder: Path) -> Any:
    from mtray.schema import Evaluation, Filters, QualitySet, Source, Study

    pairs = {"en": str(folder / "pairs.en"), "es": str(folder / "pairs.es")}
    return Study(
        name="benchmark",
        seed=SEED,
        sources=(
            Source(name="pairs", kind="parallel", languages=("en", "es"), path=pairs),
            Source(name="mono", kind="mono", languages=("en",), path=str(folder / "mono.en")),
        ),
        filters=Filters(leakage=None, shots_leakage=None),
        evaluation=Evaluation(
            comet="none",
            quality=(QualitySet(direction="en-es", path=str(folder / "dev.tsv")),),
            abilities={},
        ),
    )


def mtray_first(folder: Path) -> dict[str, Any]:
    from mtray.data.pipeline import Pipeline
    from mtray.training.models import load_tokenizer

    study = make_study(folder)
    pipeline = Pipeline(study, load_tokenizer(study.model))
    with Watch() as watch:
        stores = [pipeline.store(source) for source in study.sources]
    if not all(store.built for store in stores):
        raise SystemExit("the stores were there before")
    each = {s.manifest["name"]: s.manifest["rows"] / s.manifest["seconds"] for s in stores}
    rows, size = (sum(s.manifest[key] for s in stores) for key in ("rows", "bytes"))
    return watch.result() | {"rows_per_second": rows / watch.seconds, "bytes": size, "each": each}


def mtray_trials(folder: Path) -> list[dict[str, Any]]:
    """What a worker is given is made before: pickled tables."""
    import pickle

    from mtray.data.mixing import plan
    from mtray.data.store import build_store, select
    from mtray.schema import Recipe
    from mtray.training.examples import collate
    from mtray.training.models import load_tokenizer
    from mtray.training.schedule import batches

    study = make_study(folder)
    given = pickle.dumps(build_store(study, load_tokenizer(study.model)))
    largest = len(pickle.loads(given)["pairs"])
    found = []
    for share, ratio in RECIPES:
        recipe = Recipe(parallel_size=int(largest * share), mono_ratio=min(ratio, 1 / share))
        with Watch() as watch:
            store = pickle.loads(given)
            examples, mix = select(store, plan(recipe, study.sources), False)
            lengths = examples.lengths()
            steps = batches(examples.lengths(), study.training, SEED)
            collate([examples[row] for row in steps[0]], "cpu")
        if int(lengths.sum()) != mix.tokens or len(examples) != mix.examples:
            raise SystemExit("the mix is not what it says")
        speed = read_on(
            steps[1:], lambda rows, of=examples: collate([of[row] for row in rows], "cpu")
        )
        found.append(watch.result() | {"examples": len(examples), "examples_per_second": speed})
    return found


PARTS: dict[str, Callable[[Path], Any]] = {
    "mtray_first": mtray_first,
    "mtray_trials": mtray_trials,
    "datasets_first": datasets_first,
    "interleaved_trials": interleaved_trials,
    "concatenated_trials": concatenated_trials,
}


def measured(part: str, folder: Path) -> dict[str, Any]:
    """One part in a process of its own, with that process's peak memory."""
    environment = {
        **os.environ,
        "MTRAY_STORE": str(folder / "store"),
        "HF_DATASETS_CACHE": str(folder / "hf"),
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, __file__, "--part", part, "--folder", str(folder)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


RIVALS = ("interleaved", "concatenated")


def row(label: str, *cells: str | float) -> str:
    """Text to the left, numbers to the right."""
    return f"{label:<24}" + "".join(
        f"{c:>13}" if isinstance(c, str) else f"{c:>13,.3f}" if c < 10 else f"{c:>13,.0f}"
        for c in cells
    )


def first_lines(found: dict[str, Any]) -> list[str]:
    """`computed` is seconds of all cores; the memory is that of the largest process."""
    lines = [row("first", "seconds", "computed", "rows/s", "peak RSS MB")]
    for side in ("mtray", "datasets"):
        one, peak = found[f"{side}_first"]["value"], found[f"{side}_first"]["peak_mb"]
        lines.append(row(side, one["seconds"], one["computed"], one["rows_per_second"], peak))
    store = found["mtray_first"]["value"]
    each = ", ".join(f"{name} {speed:,.0f} rows/s" for name, speed in store["each"].items())
    return [*lines, f"store: {store['bytes'] / 1e6:,.0f} MB; {each}"]


def trial_lines(found: dict[str, Any], number: int) -> list[str]:
    keys = ("examples", "seconds", "computed", "anonymous_mb", "examples_per_second", "epoch")

    def measured_of(side: str) -> list[float]:
        one = found[f"{side}_trials"]["value"][number]
        one["epoch"] = one["seconds"] + one["examples"] / one["examples_per_second"]
        return [one[key] for key in keys]

    ours = measured_of("mtray")
    lines = [row(f"{number + 2}  mtray", *ours)]
    for side in RIVALS:
        theirs = measured_of(side)
        lines.append(row(f"   datasets {side}", *theirs))
        times = [f"{theirs[i] / ours[i]:,.1f} x" for i in (1, 2, 5)]
        faster = f"{ours[4] / theirs[4]:,.1f} x"
        lines.append(row("   mtray is faster", "", *times[:2], "", faster, times[2]))
    return lines


def report(rows: int, found: dict[str, Any]) -> str:
    """The tables, for people."""
    head = row("trial", "examples", "seconds", "computed", "anonymous MB", "examples/s", "epoch s")
    trials = [line for number in range(len(RECIPES)) for line in trial_lines(found, number)]
    return "\n".join([
        f"{rows:,} pairs and {rows:,} monolingual lines", "", *first_lines(found), "", head, *trials
    ])  # fmt: skip


def imported(part: str) -> None:
    """What is no part of any measurement. What a part does not use would count in its memory."""
    import pyarrow  # noqa: F401
    import torch  # noqa: F401

    if not part.startswith("mtray"):
        import datasets  # noqa: F401


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=1_400_000, help="pairs, and lines (1400000)")
    parser.add_argument("--folder", type=Path, help="for files and stores (default: a temporary)")
    parser.add_argument("--out", type=Path, help="JSON with every figure")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        imported(args.part)
        value = PARTS[args.part](args.folder)
        whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        peak = max(resource.getrusage(who).ru_maxrss for who in whose) * 1024 / 1e6
        print(json.dumps({"value": value, "peak_mb": peak}))
        return 0
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="mtray-data-") as scratch:
        folder = Path(scratch)
        make_files(folder, args.rows)
        found = {}
        for part in PARTS:
            found[part] = measured(part, folder)
            print(f"{part}: done", file=sys.stderr, flush=True)
    print(report(args.rows, found))
    if args.out:
        args.out.write_text(json.dumps({"rows": args.rows, **found}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
