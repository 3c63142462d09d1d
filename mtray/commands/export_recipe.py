"""`export --recipe`: a trial's recipe and its rows, for another training tool."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtray.commands.run_argument import run_folder
from mtray.errors import ConfigError
from mtray.other_tools.axolotl import axolotl
from mtray.other_tools.deepspeed_file import deepspeed_text
from mtray.other_tools.llamafactory import llamafactory
from mtray.other_tools.mtray_study import mtray_study
from mtray.other_tools.plan import (
    DEEPSPEED,
    ROWS,
    Files,
    Plan,
    batch_of,
    micro_batch,
    model_path,
)
from mtray.other_tools.readme import readme
from mtray.other_tools.rows import TrialRows, trial_rows, write_rows
from mtray.other_tools.trained_parts import TrainedParts, trained_parts
from mtray.other_tools.trl import trl
from mtray.retrain import drawn_study, find_record, recorded_job, recorded_sources
from mtray.schema import Study, TrialRecord, as_written, training_of
from mtray.search.ledger.run_folder import BoundStudy, read_bound
from mtray.training.export import check_empty, whole_folder

OTHERS: dict[str, Callable[[Plan, Any], Files]] = {
    "llamafactory": llamafactory,
    "axolotl": axolotl,
    "trl": trl,
}
MTRAY = "mtray"


def export_recipe(path: Path, trial: str, tool: str, out: Path) -> int:
    """Write the rows that a trial was trained on, with the settings of its training for `tool`,
    into `out`, and print what it is. Raises MtrayError when the trial cannot be expressed there,
    when its data has changed, or when `out` is not empty."""
    if tool not in (*OTHERS, MTRAY):
        raise ConfigError(f"--to {tool}: expected one of {', '.join((*OTHERS, MTRAY))}")
    run_dir = run_folder(path)
    bound = read_bound(run_dir)
    record = find_record(run_dir, trial)
    study = as_written(bound.study)
    _check(record, study, tool)
    check_empty(out)
    rows, tokenizer = _rows(bound, study, record)
    plan = planned(run_dir.name, study, record, rows, tokenizer)
    if tool == MTRAY:
        files = mtray_study(plan, as_written(bound.sources_study), record)
    else:
        files = OTHERS[tool](plan, tokenizer)
    with whole_folder(out) as folder:
        write(folder, plan, tool, files)
    print("\n".join(summary(out, plan, files)))
    return 0


def _check(record: TrialRecord, study: Study, tool: str) -> None:
    """ConfigError for a trial that has nothing to export."""
    name = f"--recipe {record.number}"
    if not record.recipe.parallel_size:
        raise ConfigError("--recipe base: the base model is not trained; give a trial's number")
    if record.training is None:
        raise ConfigError(
            f"{name}: the trial {record.state} before its training was recorded; choose another"
        )
    if tool != MTRAY:
        from mtray.training.models import load_config

        if getattr(load_config(study.model, study.trust_remote_code), "is_encoder_decoder", False):
            raise ConfigError(
                f"--to {tool}: {study.model} is an encoder-decoder model, which it does not "
                "train; allowed: mtray"
            )


def _rows(bound: BoundStudy, study: Study, record: TrialRecord) -> tuple[TrialRows, Any]:
    """The rows of a trial, and its tokenizer. RunError where others would be drawn today."""
    from mtray.embedded.corpora import fetch_corpora
    from mtray.training.models import load_tokenizer

    fetch_corpora(study)
    tokenizer = load_tokenizer(study.model, study.trust_remote_code)
    job, sources = recorded_job(record), as_written(bound.sources_study)
    store = recorded_sources(sources, record, job, tokenizer)
    return trial_rows(job, study, store, drawn_study(sources, job), tokenizer), tokenizer


def planned(run: str, study: Study, record: TrialRecord, rows: TrialRows, tokenizer: Any) -> Plan:
    """The plan of a record whose `training` is there."""
    assert record.training is not None
    training = training_of(record.recipe, study.training)
    batch = batch_of(rows, training)
    return Plan(
        record.number, run, study.name, model_path(study.model), study.trust_remote_code,
        record.recipe, training, record.training.precision, record.seed, rows,
        _parts(study, record), batch, micro_batch(batch, rows.longest, training),
        tokenizer.pad_token is not None,
    )  # fmt: skip


def _parts(study: Study, record: TrialRecord) -> TrainedParts:
    from mtray.training.models import empty_model

    assert record.training is not None
    model = empty_model(study.model, study.trust_remote_code)
    return trained_parts(model, record.recipe, record.training.frozen_blocks)


def write(folder: Path, plan: Plan, tool: str, files: Files) -> None:
    """Write all files into an existing folder."""
    write_rows(files.rows, folder / ROWS, files.with_mask)
    texts = {**files.texts, "README.md": readme(plan, tool, files)}
    if files.deepspeed:
        texts[DEEPSPEED] = deepspeed_text(plan.training, plan.precision)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _how_to_train(out: Path, files: Files) -> str:
    place = shlex.quote(str(out))
    if "FOLDER" in files.command:
        return f"to train: {files.command.replace('FOLDER', place)}"
    return f"to train: cd {place} && {files.command}"


def summary(out: Path, plan: Plan, files: Files) -> list[str]:
    rows = plan.rows
    return [
        f"{out}: {len(rows):,} rows of trial {plan.trial} in {len(rows.steps):,} steps; "
        f"{len(rows.distinct):,} different, the longest has {rows.longest:,} tokens",
        *(f"note: {sentence}" for sentence in files.differs),
        _how_to_train(out, files),
    ]
