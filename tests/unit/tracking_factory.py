"""A run folder to send, and what trackers hold of it, read back as one plain form."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from records_factory import make_failed, make_record, make_study

from mtray.report.records import write_record
from mtray.schema import Estimate, Recipe, Rung, Training, TrainingRecord, TrialRecord
from mtray.search.ledger.run_folder import bind
from mtray.search_space.parameters import FloatRange
from mtray.search_space.space import Space
from mtray.tracking.tracked_run import TrackedRun
from mtray.training.schedule import learning_rate_at

SPACE = Space(
    parameters={"mono_ratio": FloatRange(type="float", low=0, high=2)}, fixed={"parallel_size": 9}
)
RECIPE = Recipe(parallel_size=2000, learning_rate=1e-3)
PICTURE = (  # one pixel
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS"
    b"\xde\x00\x00\x00\x0cIDATx\x9cc\xf8\xcf\xc0\x00\x00\x03\x01\x01\x00\xc9\xfe\x92\xef\x00\x00"
    b"\x00\x00IEND\xaeB`\x82"
)


STOPPED = TrialRecord(
    number=4, state="stopped", recipe=RECIPE, seed=1, reason="stopped by the user at step 3 of 8",
    finished="2026-01-02T03:06:00+0000",
)  # fmt: skip


def trained(steps: int, planned: int | None = None, **changes: Any) -> TrainingRecord:
    """A training with an entry of its loss curve at every second step."""
    rates = [learning_rate_at(s, planned or steps, 1e-3, Training()) for s in range(steps)]
    fields = {
        "steps": steps, "tokens": 100 * steps, "tokens_per_second": 50.0,
        "trainable_parameters": 10, "total_parameters": 20,
        "accumulated_learning_rate": sum(rates), "precision": "fp32",
        "loss": tuple((step, 4.0 - step / 16) for step in range(2, steps + 1, 2)),
    }  # fmt: skip
    return TrainingRecord(**(fields | changes))


def complete(number: int, **changes: Any) -> TrialRecord:
    fields = {
        "recipe": RECIPE,
        "training": trained(8),
        "finished": f"2026-01-02T03:04:{number:02d}+0000",
    }
    return make_record(number, **(fields | changes))


def pruned(number: int) -> TrialRecord:
    rungs = (
        Rung(rung=0, step=4, steps=12, objectives={"quality": Estimate(value=0.5, error=0.1)}),
    )
    return TrialRecord(
        number=number, state="pruned", recipe=RECIPE, seed=1, training=trained(4, 12), rungs=rungs,
        reason="dominated by trial 1", finished="2026-01-02T03:05:00+0000",
    )  # fmt: skip


def make_run(folder: Path, front: bool = True) -> Path:
    """The base model, two complete trials, a pruned and a failed one, and files of a front."""
    folder.mkdir(parents=True)
    bind(folder, make_study(), SPACE)
    base = make_record(-1, 0.42, 1.0, "base")
    for record in (base, complete(0), complete(1), pruned(2), make_failed(3)):
        write_record(folder, record)
    if front:
        (folder / "front.html").write_text("<p>front</p>")
        (folder / "front.csv").write_text("number\n0\n")
        (folder / "front.png").write_bytes(PICTURE)
    return folder


Held = dict[str, dict[str, Any]]  # by the run's name: what a tracker holds of it


def expected(run: TrackedRun, parent: str | None) -> dict[str, Any]:
    return {
        "parent": parent, "state": run.state, "parameters": dict(run.parameters),
        "values": dict(run.values), "series": {n: list(p) for n, p in run.series.items()},
        "files": sorted(path.name for path in run.files),
    }  # fmt: skip


def framed(content: bytes) -> Iterator[bytes]:
    """The records of an event file: length, two checksums around the content."""
    place = 0
    while place < len(content):
        (size,) = struct.unpack("<Q", content[place : place + 8])
        yield content[place + 12 : place + 12 + size]
        place += 16 + size


def wandb_records(path: Path) -> Iterator[Any]:
    """The records of a `.wandb` file: LevelDB's log format after a header of seven bytes."""
    from wandb.proto import wandb_internal_pb2

    content, place, parts = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, size, kind = struct.unpack("<IHB", content[place : place + 7])
        parts += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""
