"""Bootstrap draws of every trial, stored beside its record.

All trials of a run are scored on the same segments with the same weights, so the draws of two
trials are paired: their difference has the interval of a paired bootstrap.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mtray.errors import RunError
from mtray.files import write_atomically
from mtray.report.groups import Draws
from mtray.run_files import DRAWS_FILE, trial_dir

Array = npt.NDArray[np.float64]
KEPT = 256  # trials whose draws a report keeps in memory, half a megabyte each
# How draws are made; draws made otherwise are not paired with them.
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
    """Reads the stored draws of a run's trials, with a cache: a report asks for every measure of a
    trial several times. Later changes of a file are not noticed."""
    kept = lru_cache(maxsize=KEPT)(partial(read_draws, run_dir, names=None))

    def draws(number: int, names: Sequence[str]) -> dict[str, Array]:
        found = kept(number)
        return {name: found[name] for name in names if name in found}

    return draws


def read_draws(run_dir: Path, number: int, names: Sequence[str] | None) -> dict[str, Array]:
    """Draws of the named scores that the trial has (None: of all), each of shape (resamples,).
    Scores with non-finite draws are omitted. Raises RunError if the file is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = trial_dir(run_dir, number) / DRAWS_FILE
    if not path.is_file():
        return {}
    try:
        schema = pq.read_schema(path)
        if (schema.metadata or {}).get(b"mtray.weights") != WEIGHTS[b"mtray.weights"]:
            return {}
        wanted = schema.names if names is None else [n for n in schema.names if n in set(names)]
        table = pq.read_table(path, columns=wanted)
    except (pa.ArrowException, OSError) as error:
        raise RunError(
            f"{path}: damaged ({error}); if you delete it, this run's trials are compared by their "
            "intervals, without pairing"
        ) from None
    found = {name: table.column(name).to_numpy().astype(np.float64) for name in wanted}
    return {name: values for name, values in found.items() if np.isfinite(values).all()}
