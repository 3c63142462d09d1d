#!/usr/bin/env python3
"""Real recipes of a space with learning rates of a factor of 10 more on both sides.

    python benchmarks/rungs_wide.py train --work FOLDER [--minutes M]
    python benchmarks/rungs_wide.py score --work FOLDER

As `recipe_table.py`, but only recipes outside the default space's learning rates are trained, with
one seed each and without baselines. `rungs.py` compares them with the recipe table.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# before numpy and torch are imported
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from recipe_table import loaded, run_score
from table_plan import plan
from table_summary import TABLE

from mtray.cli_errors import report_errors
from mtray.search_space.parameters import holds
from mtray.sweep_command import DEFAULT_SPACE, DEFAULT_STUDY

WIDE_TABLE = TABLE.with_name("wide_learning_rates.parquet")
WIDE_SPACE = Path(__file__).resolve().parent / "wide_learning_rates.yaml"


def run_train(args: argparse.Namespace) -> None:
    import torch
    from table_trials import train

    from mtray.data.store import check_files
    from mtray.preparation import check_model, prepare

    torch.set_num_threads(1)
    study, space = loaded(DEFAULT_STUDY, WIDE_SPACE)
    check_files(study)
    check_model(study, space)
    prepared = prepare(study, space, lambda line: print(line, file=sys.stderr, flush=True))
    held = {name: len(table) for name, table in prepared.store.items()}
    rate = loaded(DEFAULT_STUDY, DEFAULT_SPACE)[1].distributions()["learning_rate"]
    left_out = {
        job.number
        for job in plan(prepared.study, prepared.space, held)
        if job.role != "search" or job.replicate or holds(rate, job.recipe.learning_rate)
    }
    done = train(prepared, args.work, None, args.minutes, left_out)
    print(f"{done} trials trained by this process")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("train", "score"))
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--minutes", type=float, metavar="M", help="begin no trial after that")
    parser.add_argument("--out", type=Path, default=WIDE_TABLE, metavar="FILE")
    parser.add_argument("--jobs", type=int, default=1, help="processes that score")
    parser.set_defaults(study=DEFAULT_STUDY, space=WIDE_SPACE)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    with report_errors() as outcome:
        run_train(args) if args.action == "train" else run_score(args)
    return outcome.code


if __name__ == "__main__":
    raise SystemExit(main())
