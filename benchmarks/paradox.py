#!/usr/bin/env python3
"""The fine-tuning paradox on a study's own data: the effect of parallel text alone on quality and
retention, and the effects of mono and replay.

    python benchmarks/paradox.py [--study FILE] [--size 4096] [--seeds 101 102 103]
                                 [--segments test] [--json FILE]

Each recipe is trained with each of `--seeds` (the draw of the data and the order of the examples
both change). Scored on the test segments, which neither the search nor any choice of the study's
settings used: `--segments dev` uses those of the sweep. Printed: mean over seeds with minimum and
maximum, and the differences to parallel text alone, seed by seed. No Ray: two processes, one thread
each.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from recipes import Row, measured

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
    from mtray.data.store import build_store
    from mtray.evaluation.held_out import study_on_test
    from mtray.evaluation.suite import build_suite
    from mtray.sweep_command import arguments, load
    from mtray.training.models import load_tokenizer

    study, _ = load(arguments(["--study", args.study] if args.study else []))
    if args.segments == "test":
        study = study_on_test(study)
    tokenizer = load_tokenizer(study.model)
    suite = build_suite(study, tokenizer)
    rows = recipes(args.size, study.defaults["learning_rate"])
    base = "base model, untouched"
    todo = [Row(base, study, None, {})]
    for seed in args.seeds:
        seeded = study.model_copy(update={"seed": seed})
        store = build_store(seeded, tokenizer)
        todo += [Row(name, seeded, recipe, store) for name, recipe in rows.items()]
    values: dict[tuple[str, int], dict[str, float]] = {}
    for row, record, _ in measured(todo, suite):
        scores = {**record.scores, **record.objectives}
        values[row.name, row.study.seed] = {k: s.value for k, s in scores.items()}
    found = {name: [values[name, seed] for seed in args.seeds] for name in rows}
    found = {base: [values[base, study.seed]], **found}
    show(found, f"parallel {args.size}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


def show(found: dict[str, list[dict[str, float]]], alone: str) -> None:
    """Two Markdown tables: the values, and the differences to parallel text alone."""
    shown = [name for name in SHOWN if name in next(iter(found.values()))[0]]
    retained = sorted(k for k in found[alone][0] if k.startswith("retention.") and k not in SHOWN)
    columns = shown + retained
    print("| recipe | " + " | ".join(columns) + " |")
    print("| --- |" + " --- |" * len(columns))
    for name, results in found.items():
        cells = [cell([values[c] for values in results]) for c in columns]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(f"\ndifference to '{alone}', seed by seed: mean [least, greatest]\n")
    for name, results in found.items():
        if name == alone:
            continue
        many = results * len(found[alone]) if len(results) == 1 else results
        gaps = {
            c: [a[c] - b[c] for a, b in zip(many, found[alone], strict=True)]
            for c in ("quality", "retention")
        }
        print(f"- {name}: " + ", ".join(f"{c} {cell(v)}" for c, v in gaps.items()))


if __name__ == "__main__":
    main()
