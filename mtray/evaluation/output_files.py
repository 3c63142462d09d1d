"""A trial's outputs as one Parquet file, so that scores can be recomputed without generating."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtray.errors import RunError
from mtray.evaluation.inference.requests import Output, Request
from mtray.files import replacing

COLUMNS = ("suite", "index", "prompt", "target", "text", "log_likelihood", "tokens", "truncated")


def write_outputs(
    path: Path, parts: Sequence[str], requests: Sequence[Request], outputs: Sequence[Output]
) -> None:
    """Write one row for each request: its part of the suite, its index there, the request and the
    output. Atomic."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    places: dict[str, int] = {}
    rows = []
    for part, request, output in zip(parts, requests, outputs, strict=True):
        index = places[part] = places.get(part, -1) + 1
        values = (
            part, index, request.prompt, request.target,
            output.text, output.log_likelihood, output.tokens, output.truncated,
        )  # fmt: skip
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    types = (
        pa.string(), pa.int64(), pa.string(), pa.string(),
        pa.string(), pa.float64(), pa.int64(), pa.bool_(),
    )  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=pa.schema(list(zip(COLUMNS, types, strict=True))))
    with replacing(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def read_outputs(
    path: Path, requests: Sequence[Request], parts: Iterable[str] | None = None
) -> list[Output]:
    """The outputs of exactly these requests, in this order; they are all requests or those of the
    named parts of the suite. Raises RunError if the file is damaged or holds other requests."""
    rows = _rows(path)
    if parts is not None:
        by_part: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            by_part.setdefault(row["suite"], []).append(row)
        rows = [row for part in dict.fromkeys(parts) for row in by_part.get(part, ())]
    if len(rows) != len(requests):
        raise RunError(f"{path}: {len(rows)} outputs, but the study asks {len(requests)} requests")
    for row, request in zip(rows, requests, strict=True):
        if (row["prompt"], row["target"]) != (request.prompt, request.target):
            raise RunError(
                f"{path}: {row['suite']} {row['index']} was asked {row['prompt'][:60]!r}, "
                f"the study asks {request.prompt[:60]!r}; use the study the run was made with"
            )
    return [_output(row) for row in rows]


@dataclass(frozen=True)
class KeptOutput:
    """An output with its request, as the file has them. `index`: the request's place in its part of
    the suite."""

    index: int
    prompt: str
    target: str | None
    output: Output


def read_all_outputs(path: Path, part: str) -> list[KeptOutput]:
    """The outputs of a part of the suite with their requests, in its order. Raises RunError if the
    file is damaged or has no such part."""
    rows = [row for row in _rows(path) if row["suite"] == part]
    if not rows:
        raise RunError(f"{path}: no outputs of {part!r}")
    return [KeptOutput(r["index"], r["prompt"], r["target"], _output(r)) for r in rows]


def _rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[dict[str, Any]] = pq.read_table(path, columns=list(COLUMNS)).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{path}: not a readable file of outputs: {error}") from None
    return rows


def _output(row: dict[str, Any]) -> Output:
    return Output(row["text"], row["log_likelihood"], row["tokens"], row["truncated"])
