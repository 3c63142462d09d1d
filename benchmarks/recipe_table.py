#!/usr/bin/env python3
"""A table of real recipes: trained recipes of the default study's space, with seeds and
intermediate values.

    python benchmarks/recipe_table.py train --work FOLDER [--until N] [--minutes M]
    python benchmarks/recipe_table.py score --work FOLDER [--out FILE] [--jobs 1]
    python benchmarks/recipe_table.py show [--table FILE]

`train` trains the next recipes of a fixed plan (`table_plan.py`) one after another on one core and
stores their outputs. It may be stopped and killed at any time and resumes there, and several
processes may train in one folder. Recipes already in the table are not trained again. `score`
builds the table from the stored outputs, without training, and keeps its rows of other folders; it
is the first problem of `search.py`. `show` describes a table; the figures on seeds in
docs/statistics.md come from there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

# before numpy and torch are imported; a tokenizer's threads would take the other cores
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from table_summary import FACTORS, TABLE

from mtray.cli_errors import report_errors
from mtray.errors import ConfigError
from mtray.sweep_command import DEFAULT_SPACE, DEFAULT_STUDY

MOST_BYTES = 2_000_000


def loaded(study: Path, space: Path) -> tuple[Any, Any]:
    from mtray.sweep_command import arguments, load

    return load(arguments(["--study", str(study), "--space", str(space)]))


def run_train(args: argparse.Namespace) -> None:
    import torch
    from table_trials import train

    from mtray.data.store import check_files
    from mtray.preparation import check_model, prepare

    torch.set_num_threads(1)
    study, space = loaded(args.study, args.space)
    check_files(study)
    check_model(study, space)
    # without the quality metric, which training does not need
    prepared = prepare(study, space, lambda line: print(line, file=sys.stderr, flush=True))
    known = {row["number"] for row in known_rows(args.table)[0]}
    done = train(prepared, args.work, args.until, args.minutes, known)
    print(f"{done} trials trained by this process")


@lru_cache(maxsize=1)
def scorer_of(work: Path, study_file: Path, space_file: Path) -> Any:
    """What scores the trials of a folder; made once in every process."""
    import torch
    from table_scores import Scorer, base_outputs
    from table_trials import read_trials

    from mtray.evaluation.suite import build_suite
    from mtray.training.models import load_tokenizer

    torch.set_num_threads(1)
    study, _ = loaded(study_file, space_file)
    suite = build_suite(study, load_tokenizer(study.model, study.trust_remote_code))
    return Scorer(study, suite, base_outputs(read_trials(work), suite))


def row_of(source: tuple[Path, Path, Path], folder: Path) -> dict[str, Any]:
    """The row of one trial."""
    from table_scores import fixed_columns
    from table_trials import read_trial

    from mtray.run_files import trial_name

    kept = read_trial(folder)
    assert kept is not None
    of = kept.job.of
    first = None if of is None else read_trial(source[0] / trial_name(of))
    return fixed_columns(kept) | scorer_of(*source).columns(kept, first)


def about(source: tuple[Path, Path, Path], trials: list[Any]) -> dict[str, Any]:
    """What the table is of: goes into its file."""
    from table_plan import POINTS, SEED, SEGMENTS, SHARES, plan

    _, study, space = source
    scorer = scorer_of(*source)
    versions = {tuple(sorted(kept.versions.items())) for kept in trials if kept.versions}
    return {
        "made_by": "python benchmarks/recipe_table.py train --work FOLDER; "
        "python benchmarks/recipe_table.py score --work FOLDER",
        "study": study.read_text(encoding="utf-8"),
        "space": space.read_text(encoding="utf-8"),
        "versions": [dict(found) for found in sorted(versions)],
        "machines": Counter(kept.machine for kept in trials),
        "plan": {"points": POINTS, "seed": SEED, "trials": len(plan(*loaded(study, space)))},
        "rungs": {"shares": SHARES, "segments": SEGMENTS},
        "bootstrap": {
            "resamples": scorer.study.evaluation.bootstrap,
            "seed": scorer.study.seed,
        },
        **scorer.about(),
    }


def known_rows(table: Path) -> tuple[list[Any], dict[str, Any]]:
    """The rows of a table that is there, and what the file says about them; none where it is
    not."""
    from table_summary import read_table

    rows, found = read_table(table) if table.is_file() else ([], {})
    return list(rows), found


def rows_to_keep(table: Path, here: set[int], now: dict[str, Any]) -> list[Any]:
    """Rows of the table of trials whose answers are in another folder; without their factors, which
    are of that folder's trials. Raises ConfigError where they were scored by other definitions than
    these."""
    rows, before = known_rows(table)
    kept = [
        {name: value for name, value in row.items() if not name.endswith(FACTORS)}
        for row in rows
        if row["number"] not in here
    ]
    for key in ("signatures", "plan", "rungs", "bootstrap"):
        was, is_now = (json.loads(json.dumps(found.get(key))) for found in (before, now))
        if kept and was != is_now:
            raise ConfigError(
                f"{table}: its {len(kept)} other trials have other `{key}`, and their answers are "
                "not in this folder: score there, or write another file with --out"
            )
    return kept


def run_score(args: argparse.Namespace) -> None:
    from table_scores import reduce_factors, write_table
    from table_trials import read_trials

    source = (args.work.resolve(), args.study.resolve(), args.space.resolve())
    trials = read_trials(source[0])
    folders = [kept.folder for kept in trials]
    sources, rows = [source] * len(folders), []
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        for row in pool.map(row_of, sources, folders):
            rows.append(row)
            print(f"\r{len(rows)} of {len(folders)} scored", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    reduce_factors(rows)
    found = about(source, trials)
    rows += rows_to_keep(args.out, {row["number"] for row in rows}, found)
    size = write_table(args.out, sorted(rows, key=lambda row: row["number"]), found)
    print(f"{args.out}: {len(rows)} trials, {size:,} bytes")
    if size > MOST_BYTES:
        raise ConfigError(f"{args.out}: {size:,} bytes, more than {MOST_BYTES:,}")


def run_show(args: argparse.Namespace) -> None:
    from table_summary import lines, read_table

    print("\n".join(lines(*read_table(args.table))))


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    studied = argparse.ArgumentParser(add_help=False)
    studied.add_argument("--work", type=Path, required=True, metavar="FOLDER")
    studied.add_argument("--study", type=Path, default=DEFAULT_STUDY)
    studied.add_argument("--space", type=Path, default=DEFAULT_SPACE)
    train = commands.add_parser("train", parents=[studied])
    train.add_argument("--until", type=int, metavar="N", help="only the plan's first N trials")
    train.add_argument(
        "--table", type=Path, default=TABLE, metavar="FILE", help="whose trials are not trained"
    )
    train.add_argument("--minutes", type=float, metavar="M", help="begin no trial after that")
    train.set_defaults(run=run_train)
    score = commands.add_parser("score", parents=[studied])
    score.add_argument("--out", type=Path, default=TABLE, metavar="FILE")
    score.add_argument("--jobs", type=int, default=1, help="processes")
    score.set_defaults(run=run_score)
    show = commands.add_parser("show")
    show.add_argument("--table", type=Path, default=TABLE, metavar="FILE")
    show.set_defaults(run=run_show)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    with report_errors() as outcome:
        args.run(args)
    return outcome.code


if __name__ == "__main__":
    raise SystemExit(main())
