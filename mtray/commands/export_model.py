"""`export --model`: the model of one trial as a plain Hugging Face folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtray.commands.model_usage import usage_lines
from mtray.commands.run_argument import run_folder
from mtray.data.draw_comparison import compared
from mtray.errors import ConfigError, RunError
from mtray.evaluation.inference.requests import Output
from mtray.evaluation.output_files import read_outputs
from mtray.evaluation.suite import Suite
from mtray.files import file_hash
from mtray.lineage import lineage, write_lineage
from mtray.report.model_card import model_card
from mtray.retrain import (
    find_record,
    load_suite,
    recorded_job,
    recorded_sources,
    train,
    version_changes,
)
from mtray.run_files import OUTPUTS_FILE, trial_dir
from mtray.runtime import versions
from mtray.schema import Study, TrialRecord, as_written
from mtray.search.ledger.kept_model import kept_outcome, kept_weights
from mtray.search.ledger.run_folder import read_bound
from mtray.training.export import check_empty, save_model, whole_folder
from mtray.training.models import load_config

COMPARED = 32  # of the trial's requests are answered again by the exported model


@dataclass
class Saved:
    kind: str = "model"


def export_model(path: Path, trial: str, out: Path, merge: bool) -> int:
    """Write a trial's model into `out`, from its kept weights or trained again as recorded, with a
    model card that says how many of the trial's outputs it reproduces. Raises MtrayError when the
    trial has no model or `out` is not empty."""
    run_dir = run_folder(path)
    bound = read_bound(run_dir)
    study, record = as_written(bound.study), find_record(run_dir, trial)
    if not record.recipe.parallel_size:
        raise ConfigError(f"--model {trial}: the untouched base model is {study.model} itself")
    if merge and record.recipe.method == "full":
        raise ConfigError(f"--merge: trial {trial} has no adapter (its method is full)")
    check_empty(out)
    job = recorded_job(record)
    tokenizer, suite = load_suite(study)
    before, kept = recorded(run_dir, record, suite), kept_weights(run_dir, record)
    asked = suite.requests[:: stride(suite)] if before else []
    store = {}
    if kept is None:
        store = recorded_sources(as_written(bound.sources_study), record, job, tokenizer)
    saved, digest = Saved(), None if kept is None else file_hash(kept)
    with whole_folder(out) as folder:

        def keep(module: Any, tokenizer: Any) -> None:
            saved.kind = save_model(module, tokenizer, folder, merge)

        if kept is not None:
            outcome = kept_outcome(kept, record, study, asked, keep)
        else:
            outcome = train(job, study, store, asked, keep)
        agreed = agreement(before, outcome.outputs)
        usage = how_to_ask(suite, study, tokenizer, saved.kind, out)
        card = model_card(record, bound.study, run_dir.name, saved.kind, agreed, usage)
        if saved.kind == "model":
            write_lineage(lineage(record, bound.study, run_dir.name, digest), folder)
        (folder / "README.md").write_text(card, encoding="utf-8")
    changed = version_changes(record.versions, versions())
    if kept is None:
        changed = [*compared(record.mix, outcome.mix).notes, *changed]
    notes = [f"note: {note}" for note in changed]
    print("\n".join(filter(None, [f"{saved.kind}: {out}", agreed, *notes])))
    return 0


def how_to_ask(suite: Suite, study: Study, tokenizer: Any, kind: str, out: Path) -> list[str]:
    """`usage_lines` for the first request; none for an encoder-decoder model."""
    config = load_config(study.model, study.trust_remote_code)
    if not suite.requests or getattr(config, "is_encoder_decoder", False):
        return []
    return usage_lines(suite.requests[0], tokenizer, kind, out.name)


def stride(suite: Suite) -> int:
    """The step at which the trial's requests are compared, so that all parts are covered."""
    return max(1, len(suite.requests) // COMPARED)


def recorded(run_dir: Path, record: TrialRecord, suite: Suite) -> list[Output]:
    """Some of the trial's outputs; none where it kept none."""
    try:
        found = read_outputs(
            trial_dir(run_dir, record.number) / OUTPUTS_FILE, suite.requests, suite.parts
        )
    except RunError:
        return []
    return found[:: stride(suite)]


def agreement(before: Sequence[Output], now: Sequence[Output]) -> str:
    if not before:
        return ""
    same = sum(a.text == b.text for a, b in zip(before, now, strict=True))
    return f"It gives {same} of {len(before)} of the trial's answers again, word for word."
