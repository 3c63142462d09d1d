"""The searches that `rungs.py` compares, and what is measured of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from rungs_policy import Recorded, Recorder, RungProblem, Spending, Stopping
from rungs_prediction import hopeless_rows
from rungs_problems import surface_problem, table_problem
from rungs_rules import BASIC, Dominated, Halving, ParetoHalving, Rule
from search_clock import Ended, curves, interval, simulate, true_values
from search_policy import Mtray, Policy
from search_tables import Array, Params, Problem, Row

from mtray.analysis.pareto import maximised
from mtray.search_space.space import Space

LONG = 5.0  # trainings of the surface, in what they take in `search.py`
STEPS = 40  # budgets of the AUC
PLAIN = "no rungs"
ORACLE = "knows the end"
LONGER = 1.5  # budgets that suggestions are recorded for: ended trials make room for more
Problems = Callable[[], RungProblem]
NO_MARGIN = BASIC.model_copy(update={"margin": 0.0})


@dataclass(frozen=True)
class Case:
    """A search, compared with the first of the cases with the same `how`. `rule`: None for one
    without rungs; ORACLE. `how`: `replay` of the suggestions of mtray's search without rungs, whose
    rungs nothing but the clock notices; `search`: mtray's search itself; `random` points."""

    name: str
    problem: Problems
    rule: Rule | str | None = None
    seed_errors: bool = False
    how: str = "replay"


def measured(case: Case, seeds: Iterable[int], workers: int, budget: float) -> dict[str, Any]:
    """Lists with a value for each seed."""
    runs = [_run(case, seed, workers, budget) for seed in seeds]
    return {name: [run[name] for run in runs] for name in runs[0]}


_recorded: dict[tuple[str, int, int, float], list[Params]] = {}


def _search(case: Case, seed: int, workers: int, budget: float) -> Policy:
    problem = case.problem().problem
    if case.how == "search":
        return Mtray(problem, seed)
    if case.how == "random":
        return Recorded(problem, problem.references, seed)
    key = problem.name, seed, workers, budget
    if key not in _recorded:
        recorder = Recorder(Mtray(problem, seed))
        simulate(problem, recorder, seed, workers, LONGER * budget)
        _recorded[key] = recorder.suggested
    return Recorded(problem, _recorded[key], seed)


def _run(case: Case, seed: int, workers: int, budget: float) -> dict[str, float]:
    of, search = case.problem(), _search(case, seed, workers, budget)
    policy = search
    if case.rule is not None:
        rule = None if isinstance(case.rule, str) else case.rule
        policy = Stopping(of, search, rule, case.seed_errors)
    ended = simulate(of.problem, policy, seed, workers, budget)
    costs = np.linspace(budget / STEPS, budget, STEPS)
    volumes, _ = curves(of.problem, ended, [float(c) for c in costs])
    spent = policy.spending if isinstance(policy, Stopping) else Spending(alone=1.0)
    return {
        "auc": float(np.mean(volumes)),
        "final": volumes[-1],
        "trials": len(ended),
        "ended": sum(not e.complete for e in ended),
        "saved": spent.saved / spent.alone,
        "rungs": spent.rungs / spent.alone,
        "lost": lost_points(of.problem, ended),
    }


def lost_points(problem: Problem, ended: Sequence[Ended]) -> int:
    """How many ended trials no complete trial would have dominated: trained to the end, they would
    have been on the front."""
    stopped = [e for e in ended if not e.complete]
    complete = [e for e in ended if e.complete]
    if not stopped or not complete:
        return len(stopped)
    ends, fronts = (
        maximised(true_values(problem, found), problem.senses) for found in (stopped, complete)
    )
    return int(sum(not _dominated(end, fronts) for end in ends))


def _dominated(end: Array, others: Array) -> bool:
    return bool(((others >= end).all(axis=1) & (others > end).any(axis=1)).any())


def row_of(case: Case, found: dict[str, Any], base: dict[str, Any]) -> str:
    """A line of Markdown: values for the search without rungs, differences to it for the others."""
    cells = [case.name]
    for name in ("auc", "final"):
        values = np.array(found[name])
        if found is base:
            cells.append(f"{values.mean():.3f}")
            continue
        mean, low, high = interval(values - np.array(base[name]))
        cells.append(f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]")
    trials, stopped, lost = (float(np.mean(found[n])) for n in ("trials", "ended", "lost"))
    cells.append(f"{trials:.1f} ({stopped:.1f})")
    cells += [f"{np.mean(found[name]):.1%}" for name in ("saved", "rungs")]
    return f"| {' | '.join([*cells, f'{lost:.2f}'])} |"


def own(name: str, problem: Problems, first: bool = False, **settings: Any) -> Case:
    """mtray's rule with other `settings`."""
    return Case(name, problem, Dominated(BASIC.model_copy(update=settings), first))


def rule_cases(rows: list[Row], space: Space) -> dict[str, list[Case]]:
    def table(**changes: Any) -> Problems:
        return lru_cache(maxsize=1)(partial(table_problem, rows, space, **changes))

    whole, early, late = table(), table(rungs=(0,)), table(rungs=(1,))
    zero: dict[str, Any] = {"margin": 0.0}
    found = [
        Case(PLAIN, whole),
        own("margin 1", whole),
        own("margin 0.5", whole, margin=0.5),
        own("margin 0", whole, **zero),
        Case("margin 1, errors of differences", whole, Dominated(), seed_errors=True),
        own("margin 0, worst 1", whole, **zero, worst=1.0),
        own("margin 0, dominating 1", whole, **zero, dominating=1),
        own("margin 0, dominating 4", whole, **zero, dominating=4),
        own("margin 0, first rung too", whole, True, **zero),
        own("margin 0, a rung at 25 %", early, True, **zero),
        own("margin 0, a rung at 50 %", late, True, **zero),
        own("the same, half the segments", table(rungs=(1,), fewer=0.5), True, **zero),
        Case("ASHA, factor 4 (Ray's default)", whole, Halving(4, (0,))),
        Case("ASHA, factor 2", whole, Halving(2)),
        Case("MO-ASHA, factor 4", whole, ParetoHalving(4)),
        Case("MO-ASHA, factor 2", whole, ParetoHalving(2)),
        Case(f"{ORACLE}, a rung at 25 %", early, ORACLE),
        Case(f"{ORACLE}, free rung at 25 %", table(rungs=(0,), rung_share=0.0), ORACLE),
    ]
    found += [
        Case("random points, no rungs", whole, how="random"),
        Case("random points, margin 1", whole, Dominated(), how="random"),
        Case("random points, margin 0", whole, Dominated(NO_MARGIN), how="random"),
        Case("random points, MO-ASHA, factor 2", whole, ParetoHalving(2), how="random"),
        Case(f"random points, {ORACLE}", early, ORACLE, how="random"),
    ]
    return {"Rules, on the recipe table": found}


def search_cases(rows: list[Row], space: Space) -> dict[str, list[Case]]:
    of = lru_cache(maxsize=1)(partial(table_problem, rows, space))
    cheap = lru_cache(maxsize=1)(partial(table_problem, rows, space, rung_share=0.01))
    price = "1% of a trial for rungs"
    found = [
        Case(PLAIN, of, how="search"),
        Case("margin 1", of, Dominated(), how="search"),
        Case(f"{price}: margin 0", cheap, Dominated(NO_MARGIN), how="search"),
        Case(f"{price}: MO-ASHA, factor 2", cheap, ParetoHalving(2), how="search"),
    ]
    return {"The search itself under rules, on the recipe table": found}


def price_cases(
    rows: list[Row], space: Space, prices: Sequence[float] = (0.0, 0.01, 0.05, 0.3)
) -> dict[str, list[Case]]:
    found = []
    for share in prices:
        both, early, late = (
            lru_cache(maxsize=1)(partial(table_problem, rows, space, rungs=at, rung_share=share))
            for at in ((0, 1), (0,), (1,))
        )
        found += [] if found else [Case(PLAIN, both)]
        price = f"{share:.0%} of a trial for rungs"
        found += [
            own(f"{price}: margin 1", both),
            own(f"{price}: margin 0.5", both, margin=0.5),
            own(f"{price}: margin 0", both, margin=0.0),
            own(f"{price}: margin 0, dominating 4", both, margin=0.0, dominating=4),
            own(f"{price}: margin 0, first rung too", both, True, margin=0.0),
            own(f"{price}: margin 0, a rung at 25 %", early, True, margin=0.0),
            own(f"{price}: margin 0, a rung at 50 %", late, True, margin=0.0),
            Case(f"{price}: MO-ASHA, factor 2", both, ParetoHalving(2)),
            Case(f"{price}: {ORACLE}", early, ORACLE),
        ]
    return {"The recipe table's curves, with other costs of rungs": found}


def hopeless_cases(rows: list[Row], space: Space) -> dict[str, list[Case]]:
    """Two thirds of the table's recipes are far from the front, in the place of a wide space."""
    found = hopeless_rows(rows, space)
    out = {}
    for share, price in ((None, "as in the table"), (0.01, "1% of a trial")):
        both, early = (
            lru_cache(maxsize=1)(partial(table_problem, found, space, rungs=at, rung_share=share))
            for at in ((0, 1), (0,))
        )
        out[f"Mostly hopeless recipes, random points, rungs cost {price}"] = [
            Case(name, of, rule, how="random")
            for name, of, rule in (
                (PLAIN, both, None),
                ("margin 1", both, Dominated()),
                ("margin 0", both, Dominated(NO_MARGIN)),
                ("margin 0, first rung too", both, Dominated(NO_MARGIN, True)),
                ("margin 0, a rung at 25 %", early, Dominated(NO_MARGIN, True)),
                ("MO-ASHA, factor 2", both, ParetoHalving(2)),
                (ORACLE, early, ORACLE),
            )
        ]
    return out


def surface_cases(rows: list[Row], space: Space) -> dict[str, list[Case]]:
    out = {}
    for factor in (1.0, 10.0):
        of = lru_cache(maxsize=1)(partial(surface_problem, factor, LONG))
        title = f"Simulated: learning rates x{factor:g} on both sides, trainings x{LONG:g}"
        out[f"{title}, random points"] = [
            Case(name, of, rule, how="random")
            for name, rule in (
                (PLAIN, None),
                ("margin 1", Dominated()),
                ("margin 0", Dominated(NO_MARGIN)),
                ("margin 0, first rung too", Dominated(NO_MARGIN, True)),
                ("MO-ASHA, factor 2", ParetoHalving(2)),
                (ORACLE, ORACLE),
            )
        ]
    return out


CASES: dict[str, Callable[[list[Row], Space], dict[str, list[Case]]]] = {
    "rules": rule_cases,
    "prices": price_cases,
    "hopeless": hopeless_cases,
    "search": search_cases,
    "surface": surface_cases,
}
