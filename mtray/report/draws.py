"""Bootstrap draws of every trial, kept beside its record.

All trials of a run are scored on the same segments with the same resamples, so the draws of two
trials are paired: their difference has the interval of a paired bootstrap.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from math import hypot, sqrt
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from mtray.analysis.seeds import SeedVariance
from mtray.files import write_atomically
from mtray.report.compare import Difference
from mtray.report.groups import Group
from mtray.report.records import trial_dir
from mtray.schema import TrialRecord

Array = npt.NDArray[np.float64]
DRAWS_FILE = "draws.parquet"  # in a trial's folder


def write_draws(run_dir: Path, number: int, draws: Mapping[str, Array]) -> Path:
    """One column of draws for each measured name, shape (resamples,)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(
        pa.table({name: values.astype(np.float32) for name, values in draws.items()}), buffer
    )
    return write_atomically(trial_dir(run_dir, number) / DRAWS_FILE, buffer.getvalue())


def read_draws(run_dir: Path, number: int, names: Sequence[str]) -> Array | None:
    """Draws of the named objectives, shape (resamples, names); None where the trial has none of
    one."""
    import pyarrow.parquet as pq

    path = trial_dir(run_dir, number) / DRAWS_FILE
    if not path.is_file():
        return None
    table = pq.read_table(path)
    if any(name not in table.column_names for name in names):
        return None
    columns: list[Array] = [table.column(name).to_numpy().astype(np.float64) for name in names]
    return np.stack(columns, axis=1)


def joint_draws(
    run_dir: Path, records: Sequence[TrialRecord], names: Sequence[str]
) -> Array | None:
    """Draws of all trials, shape (resamples, trials, names); None unless every trial has them all,
    equally many and finite."""
    found = [read_draws(run_dir, record.number, names) for record in records]
    kept = [draws for draws in found if draws is not None]
    if len(kept) < len(found) or not kept or len({len(draws) for draws in kept}) > 1:
        return None
    stacked = np.stack(kept, axis=1)
    return stacked if bool(np.isfinite(stacked).all()) else None


def paired_difference(
    groups: Sequence[Group], names: Sequence[str], segments: Array, luck: SeedVariance
) -> Difference:
    """How far the means of two groups are apart, from their paired draws of the segments, shape
    (resamples, groups, names), and from what luck does to both."""
    place = {group.original.number: i for i, group in enumerate(groups)}
    shares = [1 / g.lucky if g.lucky else 0.0 for g in groups]

    def difference(
        a: TrialRecord, b: TrialRecord, objective: str, z: float
    ) -> tuple[float, float, float]:
        i, j, k = place[a.number], place[b.number], list(names).index(objective)
        gap = a.objectives[objective].value - b.objectives[objective].value
        gaps = segments[:, i, k] - segments[:, j, k]
        # centred on the measured difference, with the draws' spread: far quantiles of a thousand
        # draws are too rough for the wide intervals that allow for choosing among many trials
        tail = NormalDist().cdf(-1.0)
        below, above = np.median(gaps) - np.quantile(gaps, [tail, 1 - tail])
        by_luck = luck.quantile(NormalDist().cdf(z))[k] * sqrt(shares[i] + shares[j])
        return gap, gap - hypot(z * below, by_luck), gap + hypot(z * above, by_luck)

    return difference
