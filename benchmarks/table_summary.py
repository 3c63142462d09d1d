"""A readable summary of a recipe table: its size, the effect of a second seed on every score, the
front, and how well the rungs predict the final values."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mtray.analysis.pareto import front_order, maximised
from mtray.analysis.seed_variance import RepeatedTraining, SeedVariance, pooled_variance
from mtray.errors import ConfigError

TABLE = Path(__file__).resolve().parent / "tables" / "default_recipes.parquet"
Row = Mapping[str, Any]
OBJECTIVES = ("quality", "retention")
SENSES = ("max", "max")
RUNGS = ("rung1/", "rung2/")
FACTORS = "/factors"  # at the end of a column's name


class Seeds(NamedTuple):
    """Of one score.

    - `deviation`: pooled over recipes, of a trial over seeds, on `freedom` degrees of freedom.
    - `beyond`: the part of it that the bootstrap over segments does not have: its variance less
      half of the bootstrap's of the difference of two seeds.
    - `error`, `paired`: median standard errors over segments of a value and of its difference to
      the base model.
    """

    deviation: float
    beyond: float
    freedom: int
    error: float
    paired: float


def read_table(path: Path) -> tuple[list[Row], dict[str, Any]]:
    """The rows and what the file says about them. Raises ConfigError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file; `recipe_table.py score` makes it")
    try:
        table = pq.read_table(path)
        about = json.loads(table.schema.metadata[b"recipe_table"])
    except (pa.ArrowException, OSError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: not a recipe table: {error!r}") from None
    return table.to_pylist(), about


def scores_in(rows: Sequence[Row]) -> list[str]:
    """The names of the scores at the end, in the order of the columns."""
    found = [n.removesuffix("/variance") for n in rows[0] if n.endswith("/variance")]
    return [name for name in found if not name.startswith(RUNGS)]


def groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Complete trials by recipe, the first seed first; without the base model, which no seed
    touches."""
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if row["state"] == "complete" and row["role"] != "base":
            found[row["number"] if row["of"] is None else row["of"]].append(row)
    return [sorted(group, key=lambda row: row["replicate"]) for group in found.values()]


def seed_variance(grouped: Sequence[Sequence[Row]], names: Sequence[str]) -> SeedVariance:
    """Of the named columns, shape (names,), over recipes that were trained more than once."""
    values = [[[row[n] for n in names] for row in group] for group in grouped if len(group) > 1]
    families = [[RepeatedTraining(np.array(found))] for found in values]
    return pooled_variance(families or [[RepeatedTraining(np.zeros((1, len(names))))]])


def seeds_of(grouped: Sequence[Sequence[Row]], name: str) -> Seeds:
    spread = seed_variance(grouped, [name])
    rows = [row for group in grouped for row in group]
    error, paired = (
        float(np.median([np.sqrt(row[f"{name}/{what}"]) for row in rows]))
        for what in ("variance", "paired")
    )
    apart = [row[f"{name}/apart"] for row in rows if row.get(f"{name}/apart") is not None]
    within = float(np.mean(apart)) / 2 if apart else 0.0
    beyond = max(0.0, float(spread.variance[0]) - within) ** 0.5
    return Seeds(float(spread.deviation[0]), beyond, spread.repeats, error, paired)


def rank_correlation(rows: Sequence[Row], a: str, b: str) -> float:
    """Spearman's; NaN where there is nothing to rank."""
    from scipy.stats import rankdata

    pairs = [(row[a], row[b]) for row in rows if row.get(a) is not None and row.get(b) is not None]
    x, y = (rankdata(column) for column in zip(*pairs, strict=True)) if pairs else ([], [])
    if len(pairs) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def front(grouped: Sequence[Sequence[Row]]) -> list[Row]:
    """The first seeds that no other dominates, by quality."""
    firsts = [group[0] for group in grouped]
    values = [[row[name] for name in OBJECTIVES] for row in firsts]
    return [firsts[i] for i in front_order(maximised(values, SENSES))]


def lines(rows: Sequence[Row], about: Mapping[str, Any]) -> list[str]:
    """Markdown."""
    grouped = groups(rows)
    if not grouped:
        raise ConfigError("the table has no complete trial but the base model's")
    return [*_counts(rows, grouped, about), "", *_seeds(rows, grouped), "", *_front(rows, grouped)]


def _counts(
    rows: Sequence[Row], grouped: Sequence[Sequence[Row]], about: Mapping[str, Any]
) -> list[str]:
    sizes = Counter(len(group) for group in grouped)
    times = ", ".join(f"{count} with {n}" for n, count in sorted(sizes.items()))
    failed = [row for row in rows if row["state"] == "failed"]
    totals = np.array([row["cpu.total"] for row in rows])
    codes, machines = len({row["code"] for row in rows}), len({row["machine"] for row in rows})
    out = [
        f"{len(rows)} trials of {about['plan']['trials']} planned: the base model and "
        f"{len(grouped)} recipes, by number of seeds: {times}",
        f"{totals.sum() / 3600:.1f} hours of a core, {totals.mean():.1f} s a trial "
        f"(median {np.median(totals):.1f}); {codes} versions of the code, {machines} machines",
    ]
    for row in failed:
        out.append(f"failed: trial {row['number']}: {row['reason']}")
    return out


def _seeds(rows: Sequence[Row], grouped: Sequence[Sequence[Row]]) -> list[str]:
    """A line for each score that the table holds at the end; differences are to the base model."""
    complete = [row for group in grouped for row in group]
    base = next((row for row in rows if row["role"] == "base"), {})
    out = [
        "| score | base | least | greatest | SD over seeds | beyond bootstrap | degrees | SE "
        "| SE of difference | SD / SE | beyond / SE of difference | rank correlation with rung 1 "
        "| with rung 2 |",
        "|" + "---|" * 13,
    ]
    for name in scores_in(rows):
        if any(row.get(name) is None for row in complete):
            continue
        found, values = seeds_of(grouped, name), [row[name] for row in complete]
        known = found.freedom > 0
        deviation, beyond = (v if known else float("nan") for v in (found.deviation, found.beyond))
        shown = (base.get(name, float("nan")), min(values), max(values), deviation, beyond)
        pairs = ((deviation, found.error), (beyond, found.paired))
        cells = [*(_cell(v, 4) for v in shown), str(found.freedom)]
        cells += [_cell(error, 4) for error in (found.error, found.paired)]
        cells += [_cell(v / e if e else np.nan, 2) for v, e in pairs]
        cells += [_cell(rank_correlation(complete, f"{r}{name}", name), 2) for r in RUNGS]
        out.append(f"| {name} | {' | '.join(cells)} |")
    return out


def _cell(value: float, digits: int) -> str:
    """`-`: it is not known."""
    return f"{value:.{digits}f}" if np.isfinite(value) else "-"


def _front(rows: Sequence[Row], grouped: Sequence[Sequence[Row]]) -> list[str]:
    """The front of first seeds with the parameters that vary."""
    varied = [
        name
        for name in rows[0]
        if name.startswith("recipe.") and len({group[0][name] for group in grouped}) > 1
    ]
    heads = ["trial", *OBJECTIVES, *(name.removeprefix("recipe.") for name in varied)]
    out = ["the front of first seeds:", "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in front(grouped):
        trial = str(row["number"]) + ("" if row["role"] == "search" else f" ({row['role']})")
        values = [f"{row[name]:.4f}" for name in OBJECTIVES]
        params = [f"{v:.4g}" if isinstance(v := row[n], float) else str(v) for n in varied]
        out.append(f"| {' | '.join([trial, *values, *params])} |")
    return out
