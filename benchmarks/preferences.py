#!/usr/bin/env python3
"""What a preference that is given to mtray's search gains in the user's own utility.

    python benchmarks/preferences.py [--seeds 20] [--first-seed 1] [--jobs 1]
                                     [--problems recipes surface] [--json]

Every sweep is simulated twice with the same seed and noise: the search knows the preference, or it
does not. Both then choose among their trials by the same rule and the same preference
(`mtray.analysis.preference`), from the expected values of a process fitted to their trials. The
regret is the true worth of the best recipe of the true front that reaches the floors, minus the
true worth of the chosen one (at least 0), plus the chosen one's true shortfall, all in units of
worth. `tried` is the same for the trial with the least regret, which a perfect choice would take:
what the search alone found. Costs are in full trials of mean cost, as in `search.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
from search import problem_of
from search_clock import Ended, interval, simulate
from search_policy import Mtray
from search_tables import Array, Params, Problem
from table_summary import TABLE, read_table

from mtray.analysis.decision import scales, worth
from mtray.analysis.gaussian_process_fit import fit
from mtray.analysis.pareto import maximised
from mtray.analysis.preference import Utility, preferred_order, utility
from mtray.schema import Preference
from mtray.search.strategy.cost_aware import Observation, SearchDomain
from mtray.search.strategy.samplers import STARTUP
from mtray.search.strategy.suggester import Suggester
from mtray.search_space.unit_cube import UnitCube

AT = (10.0, 20.0, 40.0)  # costs at which a recipe is chosen
# floors of retention that cut the front: .95 does not on the table, whose best quality keeps .955
FLOORS = {"surface": 0.95, "recipes": 0.98}
BASE_OF_SURFACE = (0.55, 1.0)  # without any example
QUALITY, RETENTION = 0, 1


def preferences(problem: str) -> dict[str, dict[int, Preference]]:
    """The three, by objective."""
    return {
        f"retention at least {FLOORS[problem]:g}": {
            RETENTION: Preference(at_least=FLOORS[problem])
        },
        "weights 3:1": {QUALITY: Preference(weight=3)},
        "weights 1 to 5:1": {QUALITY: Preference(weight=[1, 5])},
    }


@dataclass(frozen=True)
class Case:
    """A problem with the base model's values, shape (2,), and those of its baselines."""

    problem: Problem
    base: Array

    @property
    def anchors(self) -> Array:
        """Base model and baselines, shape (a, 2), more is better."""
        last = len(self.problem.shares) - 1
        keys = [self.problem.place(params, set()) for params in self.problem.references]
        found = [self.base, *(self.problem.truth(key, last) for key in keys)]
        return maximised(found, self.problem.senses)

    def utility(self, prefer: Mapping[int, Preference]) -> Utility:
        names = list(self.problem.objectives)
        return utility(self.problem.objectives, {names[k]: p for k, p in prefer.items()})


def case_of(name: str) -> Case:
    if name == "surface":
        return Case(problem_of(name), np.array(BASE_OF_SURFACE))
    rows = read_table(TABLE)[0]
    base = next(row for row in rows if row["role"] == "base")
    return Case(problem_of(f"recipes:{TABLE}"), np.array([base["quality"], base["retention"]]))


class PreferringMtray(Mtray):
    """mtray's search, which knows a preference (None: it does not) and the base model."""

    def __init__(self, case: Case, seed: int, prefer: Utility | None) -> None:
        super().__init__(case.problem, seed)
        where = SearchDomain(case.problem.distributions, case.problem.guesses, prefer=prefer)
        self._suggester = Suggester(where, case.problem.senses, "auto", seed, STARTUP)
        self._suggester.tell_base(case.base.tolist())

    def tell(self, number: int, values: Array, complete: bool, cost: float) -> None:
        baseline = number < len(self.problem.references)
        found = Observation([float(v) for v in values], cost, baseline=baseline)
        self._suggester.add(number, self.params[number], found)


@dataclass(frozen=True)
class Regret:
    """Regrets of recipes, by the true front."""

    prefer: Utility
    scale: Array
    best: float

    @classmethod
    def of(cls, case: Case, prefer: Utility) -> Regret:
        front = np.vstack([maximised(case.problem.front, case.problem.senses), case.anchors[:1]])
        scale = scales(front, case.anchors)
        reaching = front[(front >= prefer.floors).all(axis=1)]
        return cls(prefer, scale, float(worth(reaching, scale, prefer.mean_weights).max()))

    def __call__(self, values: Array) -> Array:
        """Of values of shape (n, 2), more is better: shape (n,)."""
        lost = self.best - worth(values, self.scale, self.prefer.mean_weights)
        return np.maximum(lost, 0.0) + self.prefer.shortfall(values, self.scale)


def chosen(case: Case, ended: list[Ended], prefer: Utility) -> int:
    """The trial that the rule chooses, by the expected values of a process of these trials."""
    cube, row = UnitCube(case.problem.distributions), case.problem.row
    params: list[Params] = [row(e.key) if row else dict(e.key) for e in ended]
    at = cube.features(np.array([cube.units(p) for p in params]))
    observed = maximised([e.values for e in ended], case.problem.senses)
    found = np.column_stack([fit(at, column).predict(at)[0] for column in observed.T])
    scale = scales(found, case.anchors)
    short = prefer.shortfall(found, scale)
    value = worth(found, scale, prefer.mean_weights)
    return int(preferred_order(value, short, (short <= 0).astype(float))[0])


def run_one(name: str, seed: int, workers: int, knows: str | None) -> dict[str, Any]:
    """One sweep, whose search knows the preference `knows` (None: none): by preference that it is
    judged by and cost, the regret of the choice and of the best trial."""
    case = case_of(name)
    judged = preferences(name)
    prefer = None if knows is None else case.utility(judged[knows])
    ended = simulate(case.problem, PreferringMtray(case, seed, prefer), seed, workers, AT[-1])
    last, out = len(case.problem.shares) - 1, {}
    for label in judged if knows is None else [knows]:
        wanted = case.utility(judged[label])
        regret = Regret.of(case, wanted)
        for cost in AT:
            done = [e for e in ended if e.cost <= cost]
            true = maximised([case.problem.truth(e.key, last) for e in done], case.problem.senses)
            found = regret(true)
            place = chosen(case, done, wanted)
            out[label, cost] = (float(found[place]), float(found.min()))
    return out


def measure(name: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each preference and cost."""
    labels = list(preferences(name))
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    jobs = [(name, seed, args.workers, knows) for seed in seeds for knows in (None, *labels)]
    found: dict[tuple[str, float, bool], list[tuple[float, float]]] = {}
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        for count, (job, out) in enumerate(
            zip(jobs, pool.map(run_one, *zip(*jobs, strict=True)), strict=True)
        ):
            for (label, cost), pair in out.items():
                found.setdefault((label, cost, job[3] is not None), []).append(pair)
            print(f"\r{name}: {count + 1} of {len(jobs)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return [_row(label, cost, found) for label in labels for cost in AT]


def _row(label: str, cost: float, found: Mapping[Any, Any]) -> dict[str, Any]:
    without, known = (np.array(found[label, cost, knows]) for knows in (False, True))
    return {
        "preference": label, "cost": cost,
        "without": interval(without[:, 0]), "with": interval(known[:, 0]),
        "gain": interval(without[:, 0] - known[:, 0]),
        "tried_without": interval(without[:, 1]), "tried_with": interval(known[:, 1]),
        "tried_gain": interval(without[:, 1] - known[:, 1]),
    }  # fmt: skip


def table(name: str, seeds: int, rows: list[dict[str, Any]]) -> str:
    """Markdown: regrets, and by how much the preference lowers them."""
    lines = [
        f"\n### {name} ({seeds} paired seeds)\n",
        "| preference | after | regret without | with | lower by | tried, without | with "
        "| lower by |",
        "|" + "---|" * 8,
    ]
    for row in rows:
        parts = ["without", "with", "gain", "tried_without", "tried_with", "tried_gain"]
        cells = [_text(row[part], "gain" in part) for part in parts]
        lines.append(f"| {row['preference']} | {row['cost']:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _text(found: tuple[float, float, float], whole: bool) -> str:
    mean, low, high = (f"{v:.3f}" for v in found)
    return f"{mean} [{low}, {high}]" if whole else mean


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--problems", nargs="+", choices=FLOORS, default=["recipes", "surface"])
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(argv)


def main() -> None:
    args = arguments()
    results = {name: measure(name, args) for name in args.problems}
    if args.json:
        print(json.dumps(results, indent=1))
        return
    for name, rows in results.items():
        print(table(name, args.seeds, rows), flush=True)


if __name__ == "__main__":
    main()
