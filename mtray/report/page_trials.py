"""The page's table: a row for every trial, in whatever state it is, each with its own values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mtray.report.abilities import ability_measures
from mtray.report.page_front import rounded
from mtray.report.parameters import parameters
from mtray.schema import Score, TrialRecord

CURVE = 120  # points of a loss curve that the page is sent


def trial_row(record: TrialRecord) -> dict[str, Any]:
    """A trial as the page shows it; `scores`: objectives, and the retention of every ability."""
    kept = ability_measures(dict.fromkeys(record.scores))
    scores = {**{name: record.scores[name] for name in kept}, **record.objectives}
    training = record.training
    row: dict[str, Any] = {
        "number": record.number, "role": record.role, "state": record.state, "of": record.of,
        "trained_as": record.trained_as, "seed": record.seed,
        "recipe": parameters(record.recipe), "reason": record.reason or "",
        "scores": {name: _interval(score) for name, score in scores.items()},
        "seconds": {name: spent for name, spent in record.seconds.items() if spent},
        "total_seconds": record.total_seconds, "finished": record.finished,
        "examples": record.mix.examples,
        "steps": training.steps if training else None,
        "tokens_per_second": training.tokens_per_second if training else None,
        "loss": thinned(training.loss) if training else [],
    }  # fmt: skip
    shown: dict[str, Any] = rounded(row)
    return shown


def _interval(score: Score) -> dict[str, float]:
    return {"value": score.value, "low": score.low, "high": score.high}


def thinned(curve: Sequence[Sequence[float]], most: int = CURVE) -> list[list[float]]:
    """At most `most` points of a curve, evenly spread; the last one is kept."""
    step = max(1, -(-len(curve) // most))
    return [list(point) for point in curve[::-1][::step][::-1]]


def trials_table(rows: Iterable[Mapping[str, Any]], objectives: Sequence[str]) -> dict[str, Any]:
    """The rows with the names of their columns: objectives, abilities, and parameters that differ
    between trials that have them. `same`: parameters that do not differ, by name."""
    rows = list(rows)
    recipes = [row["recipe"] for row in rows if row["recipe"] and row["role"] != "base"]
    names = list(dict.fromkeys(name for recipe in recipes for name in recipe))
    values = {name: {recipe.get(name) for recipe in recipes} for name in names}
    varied = [name for name in names if len(values[name]) > 1]
    measures = dict.fromkeys(name for row in rows for name in row["scores"])
    return {
        "objectives": list(objectives),
        "measures": [name for name in measures if name not in objectives],
        "varied": varied,
        "same": {name: next(iter(values[name])) for name in names if name not in varied},
        "rows": [
            {**row, "recipe": {n: row["recipe"].get(n) for n in varied if row["recipe"]}}
            for row in rows
        ],
    }
