#!/usr/bin/env python3
"""What real data costs: making the token store once, and the mix of every further trial, against
`datasets` (map, interleave, shuffle).

    python benchmarks/data.py [--rows 1400000] [--folder DIR]

Both sides read the same files, a million and more sentence pairs and as many monolingual lines:
sentences of the default study's corpora, two or three put together at random, seeded. Both encode
with the same function. Every measurement is a process of its own. "First" is from the files; a
"trial" comes later, in a process that has imported everything and has what the first left on the
disk: until the first batch is there. The side of `datasets` finds its mapped files in its cache.
`anonymous MB` is memory that is not a mapped file, beyond what the process had before.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BATCH, BATCHES, SEED = 64, 200, 1
RECIPES = [(1.0, 1.0), (0.5, 0.5), (0.25, 2.0)]  # pairs as a share of all, mono_ratio


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
        name="benchmark", seed=SEED,
        sources=(
            Source(name="pairs", kind="parallel", languages=("en", "es"), path=pairs),
            Source(name="mono", kind="mono", languages=("en",), path=str(folder / "mono.en")),
        ),
        filters=Filters(leakage="allow"),
        evaluation=Evaluation(
            quality=(QualitySet(direction="en-es", path=str(folder / "dev.tsv")),), abilities={}
        ),
    )  # fmt: skip


class Watch:
    """Seconds of the clock and of computing, which tells more where others compute, too; and the
    most anonymous memory beyond what there was before."""

    def __enter__(self) -> Watch:
        self._before = self._most = _anonymous()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        self._start, self._computed = time.perf_counter(), time.process_time()
        return self

    def _look(self) -> None:
        while not self._ends.wait(0.005):
            self._most = max(self._most, _anonymous())

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
        self.computed = time.process_time() - self._computed
        self._ends.set()
        self._thread.join()
        self.megabytes = (max(self._most, _anonymous()) - self._before) / 1e6

    def result(self) -> dict[str, float]:
        return {
            "seconds": self.seconds, "computed": self.computed, "anonymous_mb": self.megabytes
        }  # fmt: skip


def _anonymous() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("no RssAnon in /proc/self/status: this benchmark needs Linux")


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
    from mtray.training.loop import collate
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
            steps = batches(len(examples), study.training, SEED)
            collate([examples[row] for row in steps[0]], "cpu")
        if int(lengths.sum()) != mix.tokens or len(examples) != mix.examples:
            raise SystemExit("the mix is not what it says")
        start = time.perf_counter()
        for rows in steps[1 : 1 + BATCHES]:
            collate([examples[row] for row in rows], "cpu")
        speed = len(steps[1 : 1 + BATCHES]) * BATCH / (time.perf_counter() - start)
        found.append(watch.result() | {"examples": len(examples), "examples_per_second": speed})
    return found


def _encode(batch: dict[str, list[str]], tokenizer: Any, limit: int) -> dict[str, list[Any]]:
    from mtray.data.rendering import translation_prompt
    from mtray.data.tokenise import encode_examples

    if "es" in batch:
        texts = [(translation_prompt(a, "en", "es"), b)
                 for a, b in zip(batch["en"], batch["es"], strict=True)]  # fmt: skip
    else:
        texts = [("", text) for text in batch["text"]]
    kept = [(ids, at) for ids, at in encode_examples(tokenizer, texts) if len(ids) <= limit]
    return {"ids": [ids for ids, _ in kept], "loss_from": [at for _, at in kept]}


def _mapped(folder: Path) -> list[Any]:
    """Both corpora tokenised; from the cache where they were before."""
    from datasets import Features, Sequence, Value, concatenate_datasets, load_dataset

    from mtray.training.models import load_tokenizer

    def text(name: str) -> Any:
        return load_dataset("text", data_files=str(folder / name), split="train")

    pairs = concatenate_datasets(
        [
            text("pairs.en").rename_column("text", "en"),
            text("pairs.es").rename_column("text", "es"),
        ],
        axis=1,
    )
    features = Features({"ids": Sequence(Value("int32")), "loss_from": Value("int32")})
    arguments = {"tokenizer": load_tokenizer("embedded"), "limit": 256}
    return [
        corpus.map(
            _encode, batched=True, batch_size=4096, remove_columns=corpus.column_names,
            fn_kwargs=arguments, features=features,
            # else it does not find its cache again: a tokenizer's pickle changes with its use
            new_fingerprint=f"benchmark-{name}", cache_file_name=str(folder / f"{name}.arrow"),
        )
        for name, corpus in (("pairs", pairs), ("mono", text("mono.en")))
    ]  # fmt: skip


def datasets_first(folder: Path) -> dict[str, Any]:
    with Watch() as watch:
        rows = sum(len(corpus) for corpus in _mapped(folder))
    return watch.result() | {"rows_per_second": rows / watch.seconds}


def datasets_trials(folder: Path) -> list[dict[str, Any]]:
    from datasets import interleave_datasets

    from mtray.training.loop import collate

    largest, found = len(_mapped(folder)[0]), []

    def batch_of(mixed: Any, start: int) -> Any:
        batch = mixed[start : start + BATCH]
        return collate(list(zip(batch["ids"], batch["loss_from"], strict=True)), "cpu")

    for number, (share, ratio) in enumerate(RECIPES):
        with Watch() as watch:
            pairs, mono = _mapped(folder)
            size, ratio = int(largest * share), min(ratio, 1 / share)
            parts = [
                pairs.shuffle(seed=SEED).select(range(size)),
                mono.shuffle(seed=SEED).select(range(min(len(mono), int(size * ratio)))),
            ]
            chances = [1 / (1 + ratio), ratio / (1 + ratio)]
            mixed = interleave_datasets(parts, probabilities=chances, seed=SEED + number)
            mixed = mixed.shuffle(seed=SEED + number).with_format("numpy")
            batch_of(mixed, 0)
        start = time.perf_counter()
        starts = range(BATCH, min(len(mixed), BATCH * (BATCHES + 1)), BATCH)
        for place in starts:
            batch_of(mixed, place)
        speed = len(starts) * BATCH / (time.perf_counter() - start)
        found.append(watch.result() | {"examples": len(mixed), "examples_per_second": speed})
    return found


PARTS: dict[str, Callable[[Path], Any]] = {
    "mtray_first": mtray_first, "mtray_trials": mtray_trials,
    "datasets_first": datasets_first, "datasets_trials": datasets_trials,
}  # fmt: skip


def measured(part: str, folder: Path) -> dict[str, Any]:
    """One part in a process of its own, with that process's peak memory."""
    environment = {
        **os.environ, "MTRAY_STORE": str(folder / "store"), "HF_DATASETS_CACHE": str(folder / "hf"),
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    command = [sys.executable, __file__, "--part", part, "--folder", str(folder)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def row(*cells: str | float) -> str:
    """Text to the left, numbers to the right."""
    return "".join(
        f"{c:<10}" if isinstance(c, str) and i < 2 else f"{c:>14}" if isinstance(c, str)
        else f"{c:>14,.3f}" if c < 10 else f"{c:>14,.0f}"
        for i, c in enumerate(cells)
    ).rstrip()  # fmt: skip


def report(rows: int, found: dict[str, Any]) -> str:
    """The tables, for people; `computed` is seconds of all cores."""
    lines = [f"{rows:,} pairs and {rows:,} monolingual lines", "",
             row("first", "", "seconds", "computed", "rows/s", "peak RSS MB")]  # fmt: skip
    for side in ("mtray", "datasets"):
        one = found[f"{side}_first"]["value"]
        peak = found[f"{side}_first"]["peak_mb"]
        lines.append(row(side, "", one["seconds"], one["computed"], one["rows_per_second"], peak))
    store = found["mtray_first"]["value"]
    each = ", ".join(f"{name} {speed:,.0f} rows/s" for name, speed in store["each"].items())
    lines += [
        f"store: {store['bytes'] / 1e6:,.0f} MB; {each}",
        "",
        row("trial", "", "examples", "seconds", "computed", "anonymous MB", "examples/s"),
    ]
    keys = ("examples", "seconds", "computed", "anonymous_mb", "examples_per_second")
    sides = [found[f"{side}_trials"]["value"] for side in ("mtray", "datasets")]
    for number, (ours, theirs) in enumerate(zip(*sides, strict=True), 2):
        lines.append(row(str(number), "mtray", *(ours[key] for key in keys)))
        lines.append(row(str(number), "datasets", *(theirs[key] for key in keys)))
        faster = [theirs[key] / ours[key] for key in ("seconds", "computed")]
        reads = ours["examples_per_second"] / theirs["examples_per_second"]
        ratios = [f"{ratio:.1f} x" for ratio in (*faster, reads)]
        lines.append(row("", "", "", *ratios[:2], "", ratios[2]))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=1_400_000, help="pairs, and lines (1400000)")
    parser.add_argument("--folder", type=Path, help="for files and stores (default: a temporary)")
    parser.add_argument("--out", type=Path, help="JSON with every figure")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        import torch  # noqa: F401  (no part of any measurement)

        value = PARTS[args.part](args.folder)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
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
