"""Bootstrap draws of every trial, kept beside its record.

All trials of a run are scored on the same segments with the same weights, so the draws of two
trials are paired: their difference has the interval of a paired bootstrap.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mtray.files import write_atomically
from mtray.report.groups import Draws
from mtray.report.records import trial_dir

Array = npt.NDArray[np.float64]
DRAWS_FILE = "draws.parquet"  # in a trial's folder
# How draws are made; those that were made otherwise are not paired with them.
WEIGHTS = {b"mtray.weights": b"exponential by unit"}


def write_draws(run_dir: Path, number: int, draws: Mapping[str, Array]) -> Path:
    """One column of draws for each measured name, shape (resamples,)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    columns = {name: values.astype(np.float32) for name, values in draws.items()}
    pq.write_table(pa.table(columns).replace_schema_metadata(WEIGHTS), buffer)
    return write_atomically(trial_dir(run_dir, number) / DRAWS_FILE, buffer.getvalue())


def draws_of(run_dir: Path) -> Draws:
    """The draws that a run's trials have kept."""
    return partial(read_draws, run_dir)


def read_all_draws(run_dir: Path, number: int) -> dict[str, Array]:
    """Draws of every score that the trial has, as `read_draws`."""
    import pyarrow.parquet as pq

    path = trial_dir(run_dir, number) / DRAWS_FILE
    return read_draws(run_dir, number, pq.read_schema(path).names) if path.is_file() else {}


def read_draws(run_dir: Path, number: int, names: Sequence[str]) -> dict[str, Array]:
    """Draws of those of the named scores that the trial has, each of shape (resamples,)."""
    import pyarrow.parquet as pq

    path = trial_dir(run_dir, number) / DRAWS_FILE
    if not path.is_file():
        return {}
    schema = pq.read_schema(path)
    if (schema.metadata or {}).get(b"mtray.weights") != WEIGHTS[b"mtray.weights"]:
        return {}
    table = pq.read_table(path, columns=[name for name in schema.names if name in set(names)])
    return {name: table.column(name).to_numpy().astype(np.float64) for name in table.column_names}
