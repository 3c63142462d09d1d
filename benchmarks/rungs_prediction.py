"""How well the recipe table's rungs predict the end, what they cost, and what rules would end if
they knew all recipes of the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from rungs_problems import table_problem
from rungs_rules import BASIC, Dominated, Halving, ParetoHalving, Rule, values_of
from search_clock import interval
from search_tables import Array, Row
from table_summary import OBJECTIVES, RUNGS, SENSES, groups, rank_correlation

from mtray.analysis.pareto import maximised, non_dominated
from mtray.schema import Estimate
from mtray.search.early_stopping.rungs import Point
from mtray.search_space.space import Space

FAR, NEAR = 2.0, 1.0  # errors of a difference by which another recipe is better in every objective
RULES: dict[str, Rule] = {
    "margin 1, first rung too": Dominated(first=True),
    "margin 0.5, first rung too": Dominated(BASIC.model_copy(update={"margin": 0.5}), True),
    "margin 0, first rung too": Dominated(BASIC.model_copy(update={"margin": 0.0}), True),
    "ASHA, factor 4": Halving(4),
    "ASHA, factor 2": Halving(2),
    "MO-ASHA, factor 4": ParetoHalving(4),
    "MO-ASHA, factor 2": ParetoHalving(2),
}


def prediction_lines(rows: Sequence[Row], space: Space) -> list[str]:
    """Markdown: rank correlations of rungs with the end; then what rules would end among the
    table's recipes in the space."""
    of = table_problem(rows, space)
    firsts = [g[0] for g in groups(rows) if of.holds(g[0]["number"])]
    out = ["\n### How rungs predict the end, over recipes of the table\n"]
    out += [f"| rank correlation with the end, {len(firsts)} recipes | {' | '.join(OBJECTIVES)} |"]
    out += ["|---|" + "---|" * len(OBJECTIVES)]
    for number, stage in enumerate(RUNGS, start=1):
        cells = [_correlation(firsts, f"{stage}{name}", name) for name in OBJECTIVES]
        out.append(f"| rung {number} | {' | '.join(cells)} |")
    ends = np.array([[row[name] for name in OBJECTIVES] for row in firsts])
    on_front, near, far = classes(maximised(ends, SENSES), of.problem.errors[-1])
    out += ["", "What a rule would end if it knew the measurements of all recipes:\n"]
    heads = [
        f"of the {on_front.sum()} on the front",
        f"of the {near.sum()} near it",
        f"of the {far.sum()} far from it",
        "of all",
    ]
    out += [f"| rule | rung | {' | '.join(heads)} |", "|---|---|" + "---|" * len(heads)]
    for name, rule in RULES.items():
        for k, stage in enumerate(RUNGS):
            stops = judged(firsts, rule, k)
            masks = (on_front, near, far, np.ones(len(far), dtype=bool))
            cells = [f"{stops[mask].mean():.0%}" if mask.any() else "-" for mask in masks]
            out.append(f"| {name} | {stage[4]} | {' | '.join(cells)} |")
    return out


def hopeless_rows(rows: Sequence[Row], space: Space) -> list[Row]:
    """Of the table's recipes those far from the front, the front, the baselines, and as many of
    those near the front as make a third of all."""
    of = table_problem(rows, space)
    grouped = [group for group in groups(rows) if of.holds(group[0]["number"])]
    ends = np.array([[group[0][name] for name in OBJECTIVES] for group in grouped])
    front, near, far = classes(maximised(ends, SENSES), of.problem.errors[-1])
    kept = far | front | np.array([group[0]["role"] != "search" for group in grouped])
    for i in np.flatnonzero(near & ~kept)[: max(0, int(far.sum()) // 2 - int((kept & ~far).sum()))]:
        kept[i] = True
    return [row for group, on in zip(grouped, kept, strict=True) if on for row in group]


def classes(ends: Array, errors: Array) -> tuple[Array, Array, Array]:
    """Masks of recipes by their final values, to be maximised, shape (n, m): on the front; near it
    (none is better by `NEAR` errors of the difference in every objective), and far from it (one is
    better by `FAR`)."""
    gaps = (ends[None] - ends[:, None]) / (np.sqrt(2) * errors)  # [i, j]: how much better is j
    least = gaps.min(axis=2).max(axis=1)
    return non_dominated(ends), least < NEAR, least > FAR


def judged(firsts: Sequence[Row], rule: Rule, fidelity: int) -> Array:
    """Whether the rule ends each recipe, given all the others; with the errors that the trials
    report."""
    points = [_point(row, RUNGS[fidelity]) for row in firsts]
    objectives = dict(zip(OBJECTIVES, SENSES, strict=True))
    if isinstance(rule, ParetoHalving):  # the same order for all of them
        worse = rule.worse(values_of(points, objectives))
        return np.array([i in worse for i in range(len(points))])
    return np.array([
        rule.judge(fidelity, mine, [*points[:i], *points[i + 1 :]], objectives)[0]
        for i, mine in enumerate(points)
    ])  # fmt: skip


def _point(row: Row, stage: str) -> Point:
    found = {
        name: Estimate(value=row[f"{stage}{name}"], error=row[f"{stage}{name}/variance"] ** 0.5)
        for name in OBJECTIVES
    }
    return Point(row["number"], found)


def _correlation(rows: Sequence[Row], a: str, b: str, draws: int = 200) -> str:
    """With a 95 % bootstrap interval over recipes."""
    index = np.random.default_rng(0).integers(len(rows), size=(draws, len(rows)))
    both = [{a: row[a], b: row[b]} for row in rows]
    drawn = [rank_correlation([both[i] for i in draw], a, b) for draw in index]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{rank_correlation(rows, a, b):.2f} [{low:.2f}, {high:.2f}]"


def cost_lines(rows: Sequence[Row]) -> list[str]:
    """What rungs cost, in seconds of a core, and how many trials must end to pay for them."""
    firsts = [group[0] for group in groups(rows)]

    def mean(of: Callable[[Row], float]) -> str:
        value, low, high = interval([of(row) for row in firsts])
        return f"{value:.1f} [{low:.1f}, {high:.1f}]"

    alone = np.mean([row["cpu.training"] + row["cpu.evaluating"] for row in firsts])
    rungs = [np.mean([row[f"cpu.{stage[:-1]}"] for row in firsts]) for stage in RUNGS]
    trained = [
        np.mean([row["cpu.training"] * row[f"{stage}step"] / row["steps"] for row in firsts])
        for stage in RUNGS
    ]
    out = [
        f"\n### What rungs cost: seconds of a core, means over {len(firsts)} recipes\n",
        f"training {mean(lambda r: r['cpu.training'])}, evaluation "
        f"{mean(lambda r: r['cpu.evaluating'])}, the rungs "
        + " and ".join(mean(lambda r, s=stage: r[f"cpu.{s[:-1]}"]) for stage in RUNGS)  # type: ignore[misc]
        + f": {sum(rungs) / alone:.0%} of a trial without rungs",
    ]
    for first, last, where in ((0, 0, "one at 25 %"), (1, 1, "one at 50 %"), (0, 1, "both")):
        paid = sum(rungs[first : last + 1])
        needed = paid / (alone - trained[last])
        out.append(f"{where}: pays if more than {needed:.0%} of trials end at the last rung")
    return out
