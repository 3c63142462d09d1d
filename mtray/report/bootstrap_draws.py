"""Bootstrap draws of every trial, stored beside its record.

All trials of a run are scored on the same segments with the same weights, so the draws of two
trials are paired: their difference has the interval of a paired bootstrap.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mtray.errors import RunError
from mtray.files import write_atomically
from mtray.report.watched_records import Stamp, stamp
from mtray.run_files import DRAWS_FILE, trial_dir

Array = npt.NDArray[np.float64]
Stored = npt.NDArray[np.floating]
KEPT = 512 * 2**20  # bytes of draws that a report keeps in memory, a quarter megabyte a trial
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


def draws_of(run_dir: Path) -> StoredDraws:
    """The stored draws of a run's trials. Later changes of a file are not noticed."""
    return StoredDraws(run_dir)


class StoredDraws:
    """The draws of a run's trials, as `Draws`. A file is read once, since a report asks for every
    measure of all trials several times; what is beyond `KEPT` is read whenever it is asked for.
    Which files are kept does not depend on when they were last used: a report goes through all of
    them again and again, and would find none."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._kept: dict[int, tuple[Stamp | None, dict[str, Stored]]] = {}
        self._current: set[int] = set()  # trials whose file is known to be as it was read
        self._bytes = 0

    def __call__(self, number: int, names: Sequence[str]) -> dict[str, Array]:
        if number not in self._current:
            self._look(number)
        if number in self._kept:
            kept = self._kept[number][1]
            return {n: kept[n].astype(np.float64) for n in names if n in kept}
        return read_draws(self._run_dir, number, names)

    def look_again(self) -> None:
        """From now on files that have changed are read again."""
        self._current.clear()

    def _look(self, number: int) -> None:
        now = stamp(trial_dir(self._run_dir, number) / DRAWS_FILE)
        if number not in self._kept or self._kept[number][0] != now:
            self._bytes -= _size(self._kept.pop(number, (None, {}))[1])
            if self._bytes < KEPT:
                found = _stored_draws(self._run_dir, number, None)
                self._kept[number] = now, found
                self._bytes += _size(found)
        self._current.add(number)


def _size(found: Mapping[str, Stored]) -> int:
    return sum(values.nbytes for values in found.values())


def read_draws(run_dir: Path, number: int, names: Sequence[str] | None) -> dict[str, Array]:
    """Draws of the named scores that the trial has (None: of all), each of shape (resamples,).
    Scores with non-finite draws are omitted. Raises RunError if the file is damaged."""
    found = _stored_draws(run_dir, number, names)
    return {name: values.astype(np.float64) for name, values in found.items()}


def _stored_draws(run_dir: Path, number: int, names: Sequence[str] | None) -> dict[str, Stored]:
    """The same in the precision of the files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = trial_dir(run_dir, number) / DRAWS_FILE
    if not path.is_file():
        return {}
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            if (schema.metadata or {}).get(b"mtray.weights") != WEIGHTS[b"mtray.weights"]:
                return {}
            wanted = [n for n in schema.names if names is None or n in names]
            table = file.read(wanted, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise RunError(
            f"{path}: damaged ({error}); if you delete it, this run's trials are compared by their "
            "intervals, without pairing"
        ) from None
    found = {name: table.column(name).to_numpy() for name in wanted}
    return {name: values for name, values in found.items() if np.isfinite(values).all()}
