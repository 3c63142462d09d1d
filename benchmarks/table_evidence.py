"""A recipe table as the evidence of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from table_summary import OBJECTIVES, Row, groups, read_table, scores_in, seeds_of

from mtray.report.evidence import Evidence
from mtray.schema import RETENTION_SUMMARIES, Recipe, TrialRecord

Array = npt.NDArray[np.float64]
DRAWS = 2000


def table_evidence(path: Path, recipes: int | None = None) -> Evidence:
    """The first recipes of a table (None: all), as a run's evidence."""
    rows, _ = read_table(path)
    return evidence_of(rows, groups(rows)[:recipes])


def evidence_of(rows: Sequence[Row], grouped: Sequence[Sequence[Row]]) -> Evidence:
    """Of some groups of the table's rows. The table has variances alone: errors are drawn as normal
    ones, all pairs of recipes as correlated as two seeds of one are."""
    base = next(row for row in rows if row["role"] == "base")
    names = [*OBJECTIVES, *(n for n in scores_in(rows) if _is_ability(n))]
    means = np.array([[np.mean([r[n] for r in group]) for n in names] for group in grouped])
    errors = np.stack([_errors(grouped, groups(rows), n, i) for i, n in enumerate(names)], axis=-1)
    return Evidence(
        records=tuple(_record(group[0]) for group in grouped),
        seeds=tuple(len(group) for group in grouped),
        names=tuple(names),
        base=np.array([base[n] for n in names]),
        gaps=means - np.array([base[n] for n in names]),
        errors=errors,
        seed_deviation=np.array([seeds_of(groups(rows), name).deviation for name in names]),
    )


def _is_ability(name: str) -> bool:
    first, _, rest = name.partition(".")
    return first == "retention" and bool(rest) and rest not in RETENTION_SUMMARIES


def _record(row: Row) -> TrialRecord:
    found = {k.removeprefix("recipe."): v for k, v in row.items() if k.startswith("recipe.")}
    return TrialRecord(
        number=row["number"], role=row["role"], state="complete", seed=row["seed"],
        recipe=Recipe.model_validate(found), seconds={"total": row["seconds.total"]},
    )  # fmt: skip


def _errors(grouped: Sequence[Any], every: Sequence[Any], name: str, seed: int) -> Array:
    """Of one score, shape (draws, recipes): segments and seeds."""
    rng = np.random.default_rng(seed)
    wide = np.array([np.mean([r[f"{name}/paired"] for r in g]) for g in grouped]) ** 0.5
    alike = [
        (g[0][f"{name}/paired"] + r[f"{name}/paired"] - r[f"{name}/apart"])
        / (2 * (g[0][f"{name}/paired"] * r[f"{name}/paired"]) ** 0.5)
        for g in every
        for r in g[1:]
        if r.get(f"{name}/apart") is not None
    ]
    shared = float(np.clip(np.median(alike), 0, 1)) if alike else 0.0
    beyond = seeds_of(every, name).beyond / np.array([len(g) for g in grouped]) ** 0.5
    common, own = rng.standard_normal((DRAWS, 1)), rng.standard_normal((2, DRAWS, len(grouped)))
    return (shared**0.5 * common + (1 - shared) ** 0.5 * own[0]) * wide + own[1] * beyond
