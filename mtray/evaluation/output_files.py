"""A trial's outputs as one Parquet file, so that scores can be recomputed without generating."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path, columns=list(COLUMNS)).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{path}: not a readable file of outputs: {error}") from None
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
    return [Output(r["text"], r["log_likelihood"], r["tokens"], r["truncated"]) for r in rows]
