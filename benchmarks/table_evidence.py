"""A recipe table as the evidence of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from table_summary import FACTORS, OBJECTIVES, Row, groups, read_table, scores_in, seeds_of

from mtray.errors import ConfigError
from mtray.report.evidence import Evidence
from mtray.schema import RETENTION_SUMMARIES, Recipe, TrialRecord

Array = npt.NDArray[np.float64]
DRAWS = 4000


def table_evidence(path: Path, recipes: int | None = None) -> Evidence:
    """The first recipes of a table (None: all), as a run's evidence."""
    rows, _ = read_table(path)
    return evidence_of(rows, groups(rows)[:recipes])


def evidence_of(
    rows: Sequence[Row], grouped: Sequence[Sequence[Row]], given: bool = False
) -> Evidence:
    """Of some groups of the table's rows. Errors are drawn as normal ones, with the table's
    covariances. `given`: the segments are taken as given, so what recipes share of their errors
    over segments is none. ConfigError where the table has no covariances."""
    base = next(row for row in rows if row["role"] == "base")
    names = [*OBJECTIVES, *(n for n in scores_in(rows) if _is_ability(n))]
    means = np.array([[np.mean([r[n] for r in group]) for n in names] for group in grouped])
    every = groups(rows)
    errors = [_errors(grouped, every, n, i, given) for i, n in enumerate(names)]
    return Evidence(
        records=tuple(_record(group[0]) for group in grouped),
        seeds=tuple(len(group) for group in grouped),
        names=tuple(names),
        base=np.array([base[n] for n in names]),
        gaps=means - np.array([base[n] for n in names]),
        errors=np.stack(errors, axis=-1),
        seed_deviation=np.array([seeds_of(every, name).deviation for name in names]),
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


def _errors(
    grouped: Sequence[Sequence[Row]], every: Any, name: str, seed: int, given: bool
) -> Array:
    """Of one score, shape (draws, recipes): segments and seeds."""
    rng = np.random.default_rng(seed)
    factors, own = zip(*(_segments(group, name) for group in grouped), strict=True)
    shared = rng.standard_normal((DRAWS, len(factors[0]))) @ np.array(factors).T
    seeds = seeds_of(every, name).beyond / np.array([len(g) for g in grouped]) ** 0.5
    alone = np.sqrt(np.square(own) + seeds**2)
    return np.asarray((0 if given else shared) + alone * rng.standard_normal((DRAWS, len(grouped))))


def _segments(group: Sequence[Row], name: str) -> tuple[Array, float]:
    """The error over segments of a recipe's mean over its seeds: the factors that it shares with
    others', and the standard deviation of the rest."""
    if any(row.get(f"{name}{FACTORS}") is None for row in group):
        raise ConfigError(
            f"trial {group[0]['number']} has no `{name}{FACTORS}` in the table: `recipe_table.py "
            "score` gives them to the trials of one folder"
        )
    found = np.array([row[f"{name}{FACTORS}"] for row in group])
    rest = [row[f"{name}/paired"] - f @ f for row, f in zip(group, found, strict=True)]
    return found.mean(axis=0), float(np.maximum(rest, 0).sum() ** 0.5 / len(group))
