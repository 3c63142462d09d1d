#!/usr/bin/env python3
"""mtray's search compared with alternatives, on tables, with a simulated clock.

    python benchmarks/search.py [--seeds 20] [--budget 40] [--jobs 2] [--table FILE] [--json]

Every policy gets the same problem, noise, seeds and workers, and pays the cost of its trials. Its
front holds finished trials of the highest fidelity, chosen by their noisy values, and is scored by
the hypervolume of their true values. Costs are in full trials of mean cost. The first problem,
`recipes`, is a table of real trials (`recipe_table.py`), or the part of it that is trained.
`--table` adds a table of your own (Parquet or CSV: a row for each configuration and fidelity;
columns config, fidelity, cost from the start, parameters p_*, objectives max_* or min_*), to find
out which sampler suits it.

On a table a suggestion is replaced by the nearest row not evaluated yet, for every policy alike,
and a policy that learns from parameters gets those of that row.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from search_clock import claims, curves, first_reached, interval, simulate, verdict
from search_recipes import recipes
from search_rivals import OURS, POLICIES, VARIANTS, missing, quiet
from search_surface import own_surface
from search_tables import REGMIX_PAIRS, Problem, from_rows, read_rows, regmix
from table_summary import TABLE

from mtray.errors import MtrayError

SURFACE = "surface"
PROBLEMS = ("recipes", SURFACE, "regmix")
STEPS = 40  # budgets at which the fronts are looked at
ENOUGH = 0.95  # of the reference hypervolume


@lru_cache(maxsize=1)
def problem_of(source: str) -> Problem:
    """`surface`, `recipes:FILE`, `regmix:FOLDER:a/b`, or a table's file."""
    if source == SURFACE:
        return own_surface()
    if source.startswith("recipes:"):
        return recipes(Path(source.partition(":")[2]))
    if source.startswith("regmix:"):
        _, folder, pair = source.split(":")
        first, second = pair.split("/")
        return regmix(Path(folder), (first, second))
    return from_rows(Path(source).name, read_rows(Path(source)))


def run_one(source: str, name: str, seed: int, workers: int, budget: float) -> dict[str, Any]:
    """One policy with one seed."""
    quiet()
    problem = problem_of(source)
    policy = {**POLICIES, **VARIANTS}[name](problem, seed)
    ended = simulate(problem, policy, seed, workers, budget)
    volumes, recovered = curves(problem, ended, budgets(budget))
    found: dict[str, Any] = {
        "volumes": volumes,
        "recovered": recovered[-1],
        "trials": len(ended),
        "stopped": sum(not e.complete for e in ended),
    }
    return found | ({"claims": claims(problem, ended)} if policy.claims_partial else {})


def budgets(budget: float) -> list[float]:
    return [float(b) for b in np.linspace(budget / STEPS, budget, STEPS)]


def measure(source: str, names: list[str], args: argparse.Namespace) -> dict[str, Any]:
    """All policies with all seeds on one problem."""
    jobs = [
        (source, name, 1 + s, args.workers, args.budget)
        for s in range(args.seeds)
        for name in names
    ]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        for count, (job, found) in enumerate(
            zip(jobs, pool.map(run_one, *zip(*jobs, strict=True)), strict=True)
        ):
            runs[job[1]].append(found)
            print(f"\r{source}: {count + 1} of {len(jobs)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    costs = budgets(args.budget)
    policies = {name: summary(costs, found) for name, found in runs.items()}
    out: dict[str, Any] = {
        "problem": problem_of(source).name,
        "seeds": args.seeds,
        "workers": args.workers,
        "costs": costs,
        "policies": policies,
    }
    rivals = {n: [r["volumes"] for r in runs[n]] for n in names if n != OURS and n in POLICIES}
    if OURS in names and rivals:
        out["verdict"] = verdict(costs, [r["volumes"] for r in runs[OURS]], rivals)
    return out


def summary(costs: list[float], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds with 95 % intervals."""
    volumes = np.array([r["volumes"] for r in runs])
    found: dict[str, Any] = {
        "hypervolume": [interval(volumes[:, i]) for i in range(len(costs))],
        "recovered": interval([r["recovered"] for r in runs]),
        "cost_of_95": first_reached(costs, volumes.mean(axis=0), ENOUGH),
        "trials": float(np.mean([r["trials"] for r in runs])),
        "stopped": float(np.mean([r["stopped"] for r in runs])),
    }
    if "claims" in runs[0]:
        found["claims"] = {k: interval([r["claims"][k] for r in runs]) for k in runs[0]["claims"]}
    return found


def table(found: dict[str, Any]) -> str:
    """Markdown: hypervolume at four budgets, as shares of the true front's."""
    costs = found["costs"]
    at = [len(costs) * k // 4 - 1 for k in (1, 2, 3, 4)]
    heads = [f"after {costs[i]:g}" for i in at]
    lines = [
        f"\n### {found['problem']} ({found['seeds']} seeds, {found['workers']} workers)\n",
        f"| policy | {' | '.join(heads)} | front recovered | 95 % reached after "
        "| trials (stopped) |",
        "|" + "---|" * (len(heads) + 4),
    ]
    for name, p in found["policies"].items():
        shares = [text(p["hypervolume"][i]) for i in at]
        cost = "-" if p["cost_of_95"] is None else f"{p['cost_of_95']:g}"
        lines.append(
            f"| {name} | {' | '.join(shares)} | {text(p['recovered'])} | {cost} "
            f"| {p['trials']:.0f} ({p['stopped']:.0f}) |"
        )
    for name, p in found["policies"].items():
        if c := p.get("claims"):
            lines.append(
                f"\n{name} itself shows a front of {text(c['claimed'])}, of which "
                f"{c['stopped'][0]:.0%} are stopped trials; trained in full it is worth "
                f"{text(c['true'])}."
            )
    return "\n".join(lines + ([words(found["verdict"])] if "verdict" in found else []))


def text(share: tuple[float, float, float]) -> str:
    mean, low, high = (f"{v:.3f}" for v in share)
    return f"{mean} [{low}, {high}]"


def words(v: dict[str, Any]) -> str:
    """The verdict: what was aimed at, and whether it was reached."""
    ratio, below = v["cost_ratio"], v["below"]
    reached = "never" if ratio is None else f"at {ratio:.0%} of its cost"
    lines = [
        f"\nBest rival at the end: {v['best_rival']}; mtray minus it {text(v['final_difference'])}."
        f" mtray reaches its final hypervolume {reached} (aim: 60 %).",
        f"Below the best rival beyond noise at {len(below)} of {v['budgets']} budgets (aim: none).",
    ]
    if below:
        worst = min(below, key=lambda b: float(b["difference"]))
        lines.append(
            f"Worst after {worst['cost']:g}: {worst['difference']:+.3f} against {worst['rival']}."
        )
    return "\n".join(lines)


def sources(args: argparse.Namespace) -> list[str]:
    """The problems that can be had here; says what is absent."""
    found = []
    if "recipes" in args.problems:
        if args.recipes.is_file():
            found.append(f"recipes:{args.recipes}")
        else:
            print(f"the recipe table is not in {args.recipes}; left out", file=sys.stderr)
    found += [SURFACE] if SURFACE in args.problems else []
    if "regmix" in args.problems:
        if args.regmix is None:
            print("RegMix's tables are left out: --regmix FOLDER has them", file=sys.stderr)
        elif args.regmix.is_dir():
            found += [f"regmix:{args.regmix}:{a}/{b}" for a, b in REGMIX_PAIRS]
        else:
            print(f"RegMix's tables are not in {args.regmix}; left out", file=sys.stderr)
    return found + [str(path) for path in args.table]


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--budget", type=float, default=40, help="in full trials of mean cost")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--problems", nargs="*", choices=PROBLEMS, default=PROBLEMS)
    parser.add_argument("--recipes", type=Path, default=TABLE, metavar="FILE")
    parser.add_argument("--table", type=Path, action="append", default=[], metavar="FILE")
    parser.add_argument(
        "--regmix", type=Path, metavar="FOLDER", help="with RegMix's tables, as its authors have it"
    )
    known = (*POLICIES, *VARIANTS)
    parser.add_argument("--policies", nargs="+", choices=known, metavar="NAME",
                        default=list(POLICIES), help=f"of {', '.join(known)}")  # fmt: skip
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(argv)


def main() -> None:
    args = arguments()
    absent = {n: why for n, why in missing().items() if n in args.policies}
    for name, why in absent.items():
        print(f"{name}: {why}; left out", file=sys.stderr)
    names = [n for n in args.policies if n not in absent]
    results = []
    try:
        for source in sources(args):
            results.append(measure(source, names, args))
            if not args.json:
                print(table(results[-1]), flush=True)
    except MtrayError as error:
        raise SystemExit(f"error: {error}") from None
    if args.json:
        print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
