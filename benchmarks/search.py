#!/usr/bin/env python3
"""mtray's search compared with alternatives, on tables, with a simulated clock.

    python benchmarks/search.py [--seeds 20] [--first-seed 1] [--budget 40] [--jobs 2]
                                [--table FILE] [--json]

Every policy gets the same problem, baselines, noise, seeds and workers, and pays the cost of its
trials. Its front holds finished trials of the highest fidelity, chosen by their noisy values, and
is scored by the hypervolume of their true values; AUC is its mean over the budgets. Costs are in
full trials of mean cost. Where a problem has guesses, every policy has a row without and one with
them (`search_given.py` says how engines of others are given them). The first problem, `recipes`, is
a table of real trials (`recipe_table.py`), or the part of it that is trained. `--table` adds a
table of your own (Parquet or CSV: a row for each configuration and fidelity; columns config,
fidelity, cost from the start, parameters p_*, objectives max_* or min_*), to find out which sampler
suits it.

On a table a suggestion is replaced by the nearest row not evaluated yet, for every policy alike,
and a policy that learns from parameters gets those of that row. `--keep FILE` keeps every run as it
ends, and runs that it holds are not repeated.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from search_clock import claims, curves, first_reached, interval, simulate, verdict
from search_recipes import recipes
from search_rivals import GUESSING, OURS, OWN_VARIANTS, POLICIES, VARIANTS, missing, quiet
from search_surface import own_surface
from search_tables import REGMIX_PAIRS, Problem, from_rows, read_rows, regmix
from table_summary import TABLE

from mtray.errors import MtrayError

SURFACE = "surface"
PROBLEMS = ("recipes", SURFACE, "regmix")
STEPS = 40  # budgets at which the fronts are looked at
ENOUGH = 0.95  # of the reference hypervolume
Job = tuple[str, str, int, int, float]  # arguments of `run_one`


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
    began = time.process_time()
    ended = simulate(problem, policy, seed, workers, budget)
    seconds = time.process_time() - began
    volumes, recovered = curves(problem, ended, budgets(budget))
    found: dict[str, Any] = {
        "volumes": volumes,
        "recovered": recovered[-1],
        "trials": len(ended),
        "stopped": sum(not e.complete for e in ended),
        "cpu": seconds / max(1, len(ended)),
    }
    return found | ({"claims": claims(problem, ended)} if policy.claims_partial else {})


def budgets(budget: float) -> list[float]:
    return [float(b) for b in np.linspace(budget / STEPS, budget, STEPS)]


def measure(source: str, names: list[str], args: argparse.Namespace) -> dict[str, Any]:
    """All policies with all seeds on one problem."""
    if not problem_of(source).guesses:
        names = [name for name in names if not name.endswith(GUESSING)]
    jobs = [
        (source, name, args.first_seed + s, args.workers, args.budget)
        for s in range(args.seeds)
        for name in names
    ]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for job, found in finished(jobs, args.jobs, args.keep):
        runs[job[1]].append(found)
    costs = budgets(args.budget)
    policies = {name: summary(costs, found) for name, found in runs.items()}
    compared = []
    for guess in ("", GUESSING):
        mine = runs.get(f"{OURS}{guess}")
        group = [n for n in names if n.endswith(GUESSING) == bool(guess) and n != f"{OURS}{guess}"]
        rivals = {n: [r["volumes"] for r in runs[n]] for n in group if n not in OWN_VARIANTS}
        if mine and rivals:
            compared.append(verdict(costs, [r["volumes"] for r in mine], rivals))
    return {
        "problem": problem_of(source).name,
        "seeds": args.seeds,
        "first_seed": args.first_seed,
        "workers": args.workers,
        "costs": costs,
        "policies": policies,
        "verdicts": compared,
    }


def finished(
    jobs: list[Job], processes: int, keep: Path | None
) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Every job with its result, in their order; those that the file `keep` holds from there."""
    kept = kept_runs(keep)
    missing = [job for job in jobs if job not in kept]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        new = pool.map(run_one, *zip(*missing, strict=True)) if missing else iter(())
        for count, job in enumerate(jobs):
            if job not in kept:
                kept[job] = next(new)
                if keep is not None:
                    with open(keep, "a", encoding="utf-8") as out:
                        out.write(json.dumps([job, kept[job]]) + "\n")
            print(f"\r{job[0]}: {count + 1} of {len(jobs)}", end="", file=sys.stderr, flush=True)
            yield job, kept[job]
    print(file=sys.stderr)


def kept_runs(keep: Path | None) -> dict[Job, dict[str, Any]]:
    if keep is None or not keep.is_file():
        return {}
    lines = [json.loads(line) for line in keep.read_text(encoding="utf-8").splitlines()]
    return {tuple(job): found for job, found in lines}


def summary(costs: list[float], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds with 95 % intervals."""
    volumes = np.array([r["volumes"] for r in runs])
    found: dict[str, Any] = {
        "auc": interval(volumes.mean(axis=1)),
        "hypervolume": [interval(volumes[:, i]) for i in range(len(costs))],
        "recovered": interval([r["recovered"] for r in runs]),
        "cost_of_95": first_reached(costs, volumes.mean(axis=0), ENOUGH),
        "trials": float(np.mean([r["trials"] for r in runs])),
        "stopped": float(np.mean([r["stopped"] for r in runs])),
        "cpu": float(np.mean([r["cpu"] for r in runs])),
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
        f"\n### {found['problem']} ({found['seeds']} seeds from {found['first_seed']} on, "
        f"{found['workers']} workers)\n",
        f"| policy | AUC | {' | '.join(heads)} | trials (stopped) | CPU s a suggestion |",
        "|" + "---|" * (len(heads) + 4),
    ]
    for name, p in found["policies"].items():
        shares = [f"{p['hypervolume'][i][0]:.3f}" for i in at[:-1]]
        lines.append(
            f"| {name} | {text(p['auc'])} | {' | '.join(shares)} | {text(p['hypervolume'][-1])} "
            f"| {p['trials']:.0f} ({p['stopped']:.0f}) | {p['cpu']:.2f} |"
        )
    for name, p in found["policies"].items():
        if c := p.get("claims"):
            lines.append(
                f"\n{name} itself shows a front of {text(c['claimed'])}, of which "
                f"{c['stopped'][0]:.0%} are stopped trials; trained in full it is worth "
                f"{text(c['true'])}."
            )
    return "\n".join(lines + [words(v) for v in found["verdicts"]])


def text(share: tuple[float, float, float], sign: str = "") -> str:
    mean, low, high = (f"{v:{sign}.3f}" for v in share)
    return f"{mean} [{low}, {high}]"


def words(v: dict[str, Any]) -> str:
    """Our differences from every rival, and where we are below the best of them."""
    lines = ["", "| mtray minus | AUC | after the last budget |", "|---|---|---|"]
    for name, (whole, last) in v["differences"].items():
        lines.append(f"| {name} | {text(whole, '+')} | {text(last, '+')} |")
    below = v["below"]
    lines.append(f"\nBelow the best rival beyond noise at {len(below)} of {v['budgets']} budgets.")
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
    parser.add_argument("--first-seed", type=int, default=1)
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
    parser.add_argument("--keep", type=Path, metavar="FILE", help="JSON lines of finished runs")
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
