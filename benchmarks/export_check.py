"""Whether another tool trains on what a trial was trained on: exports its recipe, trains two steps
with the real package in that package's own environment, and compares every row's ids and labels,
the losses and the number of trained parameters with mtray's.

    python benchmarks/export_check.py RUN NUMBER trl --python /path/to/env/bin/python

Exits with 1 where the rows of the two steps differ.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtray.cli_errors import report_errors
from mtray.commands.export_recipe import OTHERS, export_recipe
from mtray.commands.run_argument import run_folder
from mtray.data.store import mixed
from mtray.errors import RunError
from mtray.retrain import find_record, recorded_job, recorded_sources
from mtray.schema import TrialRecord, as_written, study_of
from mtray.search.ledger.run_folder import read_bound
from mtray.training.examples import Example, collate
from mtray.training.loop import example_lengths
from mtray.training.schedule import batches

WORKER = Path(__file__).with_name("export_check_worker.py")
Rows = list[tuple[list[int], list[int]]]  # ids and labels of each row


@dataclass(frozen=True)
class Trained:
    """Two steps of a training: rows and loss of each, and the number of trained parameters."""

    rows: list[Rows]
    losses: list[float]
    trainable: int


def theirs(report: dict[str, Any]) -> tuple[Trained, list[float]]:
    """What the tool did, and the learning rates of its steps."""
    steps = sorted({entry["step"] for entry in report["seen"]})
    rows: list[Rows] = []
    losses, rates = [], []
    for step in steps:
        entries = [entry for entry in report["seen"] if entry["step"] == step]
        rows.append([
            pair for e in entries for pair in zip(e["ids"], e["labels"], strict=True)
        ])  # fmt: skip
        losses.append(sum(entry["loss"] for entry in entries))
        rates.append(entries[0]["rate"])
    return Trained(rows, losses, report["seen"][0]["trainable"]), rates


def ours(run_dir: Path, record: TrialRecord, rates: Sequence[float]) -> Trained:
    """The first steps by mtray's own functions, at these learning rates, with nothing of the
    export."""
    from mtray.training.adapters import prepare
    from mtray.training.engine import build_engine
    from mtray.training.losses import form_for
    from mtray.training.models import load_tokenizer
    from mtray.training.parameter_counts import count_trainable
    from mtray.training.step import Feed, micro_batch_tokens
    from mtray.training.worker import Worker
    from mtray.trial.base_model import load_base_model

    bound, job = read_bound(run_dir), recorded_job(record)
    study = as_written(bound.study)
    tokenizer = load_tokenizer(study.model, study.trust_remote_code)
    store = recorded_sources(as_written(bound.sources_study), record, job, tokenizer)
    own = study_of(job.recipe, study)
    examples, _ = mixed(own, store, job.recipe, job.draw)
    lengths = example_lengths(examples)
    steps = batches(lengths, own.training, job.seed)[: len(rates)]
    model = load_base_model(own, job.recipe, job.seed).model
    marked = prepare(model, job.recipe, own.training, job.seed).model
    assert record.training is not None
    engine = build_engine("torch", marked, own.training, record.training.precision)
    engine.module.train()
    most = micro_batch_tokens(marked, own.training.micro_batch_tokens)
    form = form_for(marked, examples, own.training)
    feed = Feed(examples, lengths, Worker().process_group, most, form)
    rows = [unpadded([examples[i] for i in step]) for step in steps]
    losses = [feed.step(engine, step, rate) for step, rate in zip(steps, rates, strict=True)]
    return Trained(rows, losses, count_trainable(marked))


def unpadded(examples: Sequence[Example]) -> Rows:
    """Ids and labels as the training's collator gives them, without padding."""
    ids, labels = collate(examples, "cpu")
    ends = [len(found) for found, _ in examples]
    return [
        (ids[i, :end].tolist(), labels[i, :end].tolist()) for i, end in enumerate(ends)
    ]  # fmt: skip


def without_first_label(rows: Rows) -> Rows:
    """The first label has no loss, whatever it says: nothing predicts it."""
    return [(ids, labels[1:]) for ids, labels in rows]


def train_there(folder: Path, tool: str, python: Path) -> dict[str, Any]:
    """The worker's report. RunError with the end of its output where it fails."""
    report = folder / "report.json"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"HF_HUB_OFFLINE": "1", "AXOLOTL_DO_NOT_TRACK": "1", "WANDB_DISABLED": "true"}
    process = subprocess.run(
        [python, WORKER, tool, report], cwd=folder, env=environment, capture_output=True, text=True
    )
    if process.returncode or not report.is_file():
        raise RunError(f"{tool} failed:\n{(process.stdout + process.stderr)[-3000:]}")
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def compared(here: Trained, there: Trained) -> tuple[list[str], bool]:
    """What matched, a line each, and whether all rows did."""
    lines, same = [], len(here.rows) == len(there.rows)
    for number, (own, other) in enumerate(zip(here.rows, there.rows, strict=False), 1):
        pairs = zip(without_first_label(own), without_first_label(other), strict=False)
        equal = sum(a == b for a, b in pairs)
        tokens = sum(len(ids) for ids, _ in own)
        same = same and equal == len(own) == len(other)
        lines.append(
            f"step {number}: {equal} of {len(own)} rows ({tokens:,} tokens) have the same ids and "
            f"labels, in the same order; loss {there.losses[number - 1]:.5f}, "
            f"mtray's {here.losses[number - 1]:.5f}"
        )
    lines.append(f"trained parameters: {there.trainable:,}, mtray's {here.trainable:,}")
    return lines, same


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("number", help="the trial's number")
    parser.add_argument("tool", choices=tuple(OTHERS))
    parser.add_argument("--python", type=Path, required=True, help="of the tool's environment")
    parser.add_argument("--out", type=Path, help="keep the export here (default: removed)")
    args = parser.parse_args(argv)
    with report_errors() as outcome, tempfile.TemporaryDirectory() as scratch:
        out = args.out or Path(scratch) / "export"
        run_dir = run_folder(args.run)
        export_recipe(run_dir, args.number, args.tool, out)
        report = train_there(out, args.tool, args.python.absolute())
        there, rates = theirs(report)
        here = ours(run_dir, find_record(run_dir, args.number), rates)
        lines, same = compared(here, there)
        rate = ", ".join(f"{rate:g}" for rate in rates)
        dtypes = ", ".join(report["seen"][0]["dtypes"])
        print(f"{report['package']}: trained {len(rates)} steps (learning rates {rate}, {dtypes})")
        print("\n".join(lines))
        outcome.code = 0 if same else 1
    return outcome.code


if __name__ == "__main__":
    sys.exit(main())
