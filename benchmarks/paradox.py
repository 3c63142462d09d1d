#!/usr/bin/env python3
"""The fine-tuning paradox on a study's own data: what parallel text alone does to quality and
retention, and what mono and replay do.

    python benchmarks/paradox.py [--study FILE] [--size 4096] [--seeds 101 102 103]
                                 [--segments test] [--json FILE]

Each recipe is trained with each of `--seeds` (draw of the data and order of the examples both
change). Scored on the test segments, which no search and no choice of the study's settings saw:
`--segments dev` takes those of the sweep. Printed: mean over seeds with the least and the greatest,
and the differences to parallel text alone, seed by seed. No Ray: two processes, one thread each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

SHOWN = ("quality", "retention", "chrf.en-uk", "retention.worst")


def recipes(size: int, rate: float) -> dict[str, dict[str, float]]:
    """Name of a row -> recipe."""
    alone = {"parallel_size": size, "learning_rate": rate}
    return {
        f"parallel {size // 8}": {**alone, "parallel_size": size // 8},
        f"parallel {size}": alone,
        f"parallel {size} + mono 1:1": {**alone, "mono_ratio": 1.0},
        f"parallel {size} + replay 25 %": {**alone, "replay_fraction": 0.25},
    }


def one(study: Any, store: Any, suite: Any, recipe: dict[str, float], base: Any) -> dict[str, Any]:
    """Train and score one recipe (the base model where `base` is None), in a process of its own."""
    import torch

    from mtray.schema import Recipe
    from mtray.trial import Job, record_trial, run_trial

    torch.set_num_threads(1)
    job = Job(-1 if base is None else 0, "search", Recipe.model_validate(recipe), study.seed)
    outcome = run_trial(job, study, store, suite.requests, engine="torch")
    record, _ = record_trial(job, study, suite, outcome, base)
    values = {k: s.value for k, s in {**record.scores, **record.objectives}.items()}
    return {
        "values": values,
        "outputs": outcome.outputs if base is None else None,
        "seconds": record.seconds,
    }


def cell(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", default=None)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument(
        "--segments",
        choices=("dev", "test"),
        default="test",
        help="test: the segments under `test` of every evaluation set",
    )
    parser.add_argument("--json", type=Path, help="write every value there")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    from mtray.data.mixing import most_drawn
    from mtray.data.store import build_store
    from mtray.evaluation.held_out import on_test
    from mtray.evaluation.suite import build_suite
    from mtray.schema import Recipe
    from mtray.sweep import arguments, load
    from mtray.training.models import load_tokenizer

    study, _ = load(arguments(["--study", args.study] if args.study else []))
    if args.segments == "test":
        study = on_test(study)
    tokenizer = load_tokenizer(study.model)
    suite = build_suite(study, tokenizer)
    rows = recipes(args.size, study.defaults["learning_rate"])
    wanted = most_drawn(map(Recipe.model_validate, rows.values()), study.sources)
    started = time.perf_counter()
    found: dict[str, list[dict[str, Any]]] = {}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        base = pool.submit(one, study, {}, suite, {"parallel_size": 0}, None).result()
        found["base model, untouched"] = [base]
        waiting = []
        for seed in args.seeds:
            seeded = study.model_copy(update={"seed": seed})
            store = build_store(seeded, tokenizer, wanted)
            for name, recipe in rows.items():
                job = pool.submit(one, seeded, store, suite, recipe, base["outputs"])
                waiting.append((name, job))
        for name, job in waiting:
            found.setdefault(name, []).append(job.result())
            print(f"{time.perf_counter() - started:6.0f} s  {name}", file=sys.stderr, flush=True)
    show(found, f"parallel {args.size}")
    if args.json:
        table = {name: [r["values"] for r in results] for name, results in found.items()}
        args.json.write_text(json.dumps(table, indent=1) + "\n")


def show(found: dict[str, list[dict[str, Any]]], alone: str) -> None:
    """Two Markdown tables: the values, and the differences to parallel text alone."""
    shown = [name for name in SHOWN if name in next(iter(found.values()))[0]["values"]]
    retained = sorted(
        k for k in found[alone][0]["values"] if k.startswith("retention.") and k not in SHOWN
    )
    columns = shown + retained
    print("| recipe | " + " | ".join(columns) + " |")
    print("| --- |" + " --- |" * len(columns))
    for name, results in found.items():
        cells = [cell([r["values"][c] for r in results]) for c in columns]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(f"\ndifference to '{alone}', seed by seed: mean [least, greatest]\n")
    for name, results in found.items():
        if name == alone:
            continue
        compared = list(
            zip(
                results * len(found[alone]) if len(results) == 1 else results,
                found[alone],
                strict=False,
            )
        )
        gaps = {
            c: [a["values"][c] - b["values"][c] for a, b in compared]
            for c in ("quality", "retention")
        }
        print(f"- {name}: " + ", ".join(f"{c} {cell(v)}" for c, v in gaps.items()))


if __name__ == "__main__":
    main()
