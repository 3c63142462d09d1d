"""The front of a run as files: a table in three formats, a picture, a page. Every file is written
atomically."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtray.files import write_atomically
from mtray.report.bootstrap_draws import draws_of
from mtray.report.columnar_files import csv_bytes, parquet_bytes
from mtray.report.differences import Difference, better_by
from mtray.report.front import Front
from mtray.report.front_builder import build_front
from mtray.report.parameters import weights_of
from mtray.report.plots import front_png
from mtray.report.records import read_records, write_json
from mtray.report.static_page import front_page
from mtray.run_files import BASE_NUMBER
from mtray.schema import Score, Sense, Study, TrialRecord, default_of
from mtray.search_space.space import Space

WHICH = ("number", "role", "replicates", "trials", "on_front", "knee", "p_front")
ENDS, GAIN_ENDS = ("_low", "_high"), ("_gain_low", "_gain_high")


@dataclass(frozen=True)
class FrontResult:
    """The front and the paths of its files, by extension: csv, json, parquet, png, html."""

    front: Front
    files: dict[str, Path]


def export_front(
    run_dir: Path,
    study: Study,
    space: Space | None = None,
    folder: Path | None = None,
    all_columns: bool = False,
) -> FrontResult:
    """Write `front.{csv,json,parquet,png,html}` into the run's folder, or into `folder`. The same
    records give the same tables. `all_columns` as in `write_front`.

    Raises RunError if a record is damaged, no trial is complete, or one lacks an objective of the
    study.
    """
    records = read_records(run_dir).sound()
    front = build_front(records, study, run_dir, draws_of(run_dir), space=space)
    return FrontResult(front, write_front(front, folder or run_dir, records, all_columns))


def read_front(
    run_dir: Path, study: Study, against: str | None = None, space: Space | None = None
) -> Front:
    """The front of a run's records, with trials compared by their paired draws if they have them.
    `against`: what differences are relative to
    (`mtray.report.paired_differences.reference_number`). Without a `space` there is no answer."""
    records = read_records(run_dir).sound()
    return build_front(records, study, run_dir, draws_of(run_dir), against, space)


def write_front(
    front: Front, folder: Path, records: Sequence[TrialRecord] = (), all_columns: bool = False
) -> dict[str, Path]:
    """Write the files of a front, atomically; returns their paths by extension. `records`: all of
    the run, for the page's table. `all_columns`: in the CSV file, too, which otherwise has those of
    `readable_rows`."""
    rows = front_rows(front)
    data = front.model_dump(mode="json")
    content = {
        "csv": csv_bytes(rows if all_columns else readable_rows(front, rows)),
        "parquet": parquet_bytes(rows),
        "png": front_png(front),
        "html": front_page(front, records).encode(),
    }
    files = {"json": write_json(folder / "front.json", data)}
    for ending, content_bytes in content.items():
        files[ending] = write_atomically(folder / f"front.{ending}", content_bytes)
    return files


def front_rows(front: Front) -> list[dict[str, Any]]:
    """One flat row for each recipe with a complete trial. Every row has every column: None if a
    recipe lacks a score, or if a parameter has no meaning in it (`mtray.report.parameters`).

    `replicates` counts the seeds that values are means over, `trials` lists the trials' numbers. A
    score or objective `x` gives the columns `x`, `x_low`, `x_high` (95 % interval). An objective
    also gives `x_gain`, `x_gain_low`, `x_gain_high`: the paired gain over the base model, positive
    is better whatever the objective's direction; empty if the base model is not complete.
    `mix_tokens` are those of one epoch of the trial `number`, `seconds` those of a whole trial.
    Trainable parameters and sizes of the update of that trial are named as in `training_numbers`.
    """
    names = list(dict.fromkeys(name for point in front.points for name in point.scores))
    trained = list(dict.fromkeys(name for point in front.points for name in point.training))
    weights = weights_of(point.recipe for point in front.points)
    rows = []
    for point in front.points:
        row: dict[str, Any] = {
            "number": point.number, "role": point.role, "replicates": point.replicates,
            "trials": " ".join(map(str, point.trials)), "on_front": point.on_front,
            "knee": point.knee, "p_front": point.p_front,
        }  # fmt: skip
        row |= dict.fromkeys(weights) | point.recipe
        for objective in front.objectives:
            row |= score_columns(objective.name, point.objectives[objective.name])
            gap = point.differences.get(BASE_NUMBER, {}).get(objective.name)
            row |= _gain_columns(objective.name, gap, objective.sense)
        for name in names:
            if name not in point.objectives:
                row |= score_columns(name, point.scores.get(name))
        row |= point.mix
        row |= {name: point.training.get(name) for name in trained}
        rows.append(row | {"seconds": point.seconds, "record": point.record})
    return rows


def readable_rows(front: Front, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The columns of `front_rows` that a person reads: which trials, whether on the front, the
    parameters that some recipe has other than by default, and the objectives with their intervals
    and gains."""
    recipes = [point.recipe for point in front.points]
    named = dict.fromkeys(name for recipe in recipes for name in recipe)
    chosen = [
        name for name in named if any(r.get(name) not in (None, default_of(name)) for r in recipes)
    ]
    columns = [*WHICH, *chosen]
    for objective in front.objectives:
        columns += [f"{objective.name}{end}" for end in ("", *ENDS, "_gain", *GAIN_ENDS)]
    return [{name: row[name] for name in columns} for row in rows]


def score_columns(name: str, score: Score | None) -> dict[str, float | None]:
    """Value and 95 % interval as the columns `name`, `name_low` and `name_high`."""
    if score is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: score.value, f"{name}_low": score.low, f"{name}_high": score.high}


def _gain_columns(name: str, gap: Difference | None, sense: Sense) -> dict[str, float | None]:
    names = (f"{name}_gain", f"{name}_gain_low", f"{name}_gain_high")
    if gap is None:
        return dict.fromkeys(names)
    gain = better_by(gap, sense)
    return dict(zip(names, (gain.gap, gain.low, gain.high), strict=True))
