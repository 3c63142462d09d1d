#!/usr/bin/env python3
"""What rungs (early stopping) save and what they lose, on real learning curves first.

    python benchmarks/rungs.py [--tables prediction cost rules prices hopeless search surface]
                               [--seeds 20] [--first-seed 1] [--json FILE]

Curves are those of the recipe table (`recipe_table.py`), whose trials were measured after 25 and
50 % of their steps on a quarter of the segments. Searches are simulated (`search.py`), with rungs
paid for. Differences are to the same search without rungs, with paired seeds and 95 % bootstrap
intervals; hypervolume is a share of the true front's, and AUC its mean over 40 budgets.

- `prediction`: how rungs predict the end, and what rules would end among all recipes.
- `cost`: seconds of a rung and of a trial.
- `rules`: rules and settings on the table.
- `prices`: the same curves, where all rungs of a trial cost other shares of it.
- `hopeless`: recipes of the table of which two thirds are far from its front.
- `search`: the search itself under rules, in place of a replay of its suggestions without rungs.
- `surface`: the synthetic surface (simulated) with learning rates of a factor of 10 more on both
  sides and long trainings.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from rungs_measure import CASES, Case, measured, price_cases, row_of
from rungs_prediction import cost_lines, prediction_lines
from search_rivals import quiet
from table_summary import TABLE, Row, read_table

from mtray.cli_errors import report_errors
from mtray.search_space.space import Space

TABLES = ("prediction", "cost", *CASES)
HEADS = (
    "rule", "AUC", "at the end", "trials (ended)", "saved", "spent on rungs",
    "ended of the front",
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    quiet()
    with report_errors() as outcome:
        rows, about = read_table(args.recipes)
        space = Space.model_validate({"parameters": yaml.safe_load(about["space"])})
        for name in args.tables:
            show(name, rows, space, args)
    return outcome.code


def show(name: str, rows: list[Row], space: Space, args: argparse.Namespace) -> None:
    """Print one of `TABLES`."""
    if name == "prediction":
        print("\n".join(prediction_lines(rows, space)), flush=True)
    elif name == "cost":
        print("\n".join(cost_lines(rows)), flush=True)
    else:
        found = (
            price_cases(rows, space, args.prices) if name == "prices" else CASES[name](rows, space)
        )
        for title, cases in found.items():
            if args.random:
                cases = [replace(case, how="random") for case in cases if case.how == "replay"]
            print_searches(title, cases, args)


def print_searches(title: str, cases: list[Case], args: argparse.Namespace) -> None:
    """A Markdown table: the search without rungs, then a line for each rule."""
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    print(f"\n### {title} (seeds {seeds[0]} to {seeds[-1]}, {args.workers} workers)\n")
    print(f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}", flush=True)
    plain: dict[str, Any] = {}
    for case in cases:
        found = measured(case, seeds, args.workers, args.budget)
        base = plain.setdefault(case.how, found)
        print(row_of(case, found, base), flush=True)
        if args.json:
            with open(args.json, "a", encoding="utf-8") as file:
                file.write(json.dumps({"table": title, "rule": case.name, **found}) + "\n")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument(
        "--prices", type=float, nargs="+", default=[0.0, 0.01, 0.05, 0.3], metavar="SHARE"
    )
    parser.add_argument(
        "--random", action="store_true", help="replay random points in place of mtray's suggestions"
    )
    parser.add_argument("--budget", type=float, default=40, help="in full trials of mean cost")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--recipes", type=Path, default=TABLE, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="appends each search's figures")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
