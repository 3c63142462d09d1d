"""The default study with the first rows of its corpora and few segments: for tests and benchmarks
in which a sweep must run, but not be good at anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from mtray.embedded.corpora import fetch_corpora
from mtray.paths import corpora_dir
from mtray.study import load_study

DEFAULT = Path(__file__).resolve().parents[1] / "sweeps" / "default.yaml"
ROWS = 1000  # of each corpus
SEGMENTS = 24  # of each evaluation set
# the recipes that such a study has rows for
SPACE: dict[str, Any] = {
    "parallel_size": {"type": "int", "low": 32, "high": 128, "log": True},
    "mono_ratio": {"type": "float", "low": 0.0, "high": 1.0},
    "replay_fraction": {"type": "float", "low": 0.0, "high": 0.4},
}


def small_study(folder: Path) -> dict[str, Any]:
    """The study as its YAML file holds it, to be changed and written. Its corpora are written into
    `folder`."""
    fetch_corpora(load_study(DEFAULT))
    study: dict[str, Any] = yaml.safe_load(DEFAULT.read_text(encoding="utf-8"))
    study["budget"]["baselines"] = ["parallel_only"]  # the others take longer and show no more
    evaluation = study["evaluation"]
    evaluation["bootstrap"] = 200
    for part in (*evaluation["quality"], *evaluation["abilities"].values()):
        part["size"] = SEGMENTS
        if "shots_path" in part:
            part["shots_path"] = _first_rows(part["shots_path"], folder)
    for source in study["sources"]:
        source["path"] = _first_rows(source["path"], folder)
    return study


def _first_rows(path: str, folder: Path) -> str:
    file = Path(path.replace("{corpora}", str(corpora_dir())))
    rows = next(pq.ParquetFile(file).iter_batches(ROWS))
    pq.write_table(pa.Table.from_batches([rows]), folder / file.name)
    return str(folder / file.name)
