"""Train a recorded trial again in this process, without Ray."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mtray.data.draw_comparison import compared, drawn_again
from mtray.embedded.corpora import fetch_corpora
from mtray.errors import ConfigError, RunError
from mtray.evaluation.inference.requests import Request
from mtray.evaluation.suite import Suite
from mtray.report.records import read_record, read_records
from mtray.run_files import BASE_NUMBER, result_path, trial_name
from mtray.runtime import versions
from mtray.schema import Study, TrialRecord
from mtray.training.worker import Worker
from mtray.trial.job import DivergencePlan, Job, Outcome, RunOptions, UseModel
from mtray.trial.run import run_trial


def recorded_job(record: TrialRecord) -> Job:
    """The job of a record."""
    return Job(record.number, record.role, record.recipe, record.seed, record.replicate, record.of)


def recorded_held(record: TrialRecord) -> dict[str, int]:
    """How many examples of each source the trial drew from, where its record says so."""
    return {s.source: s.held for s in record.mix.shares if s.held}


def find_record(run_dir: Path, trial: str) -> TrialRecord:
    """The record of trial `trial`, a number or `base`. RunError, listing those that exist, when
    there is none."""
    if trial != "base" and not (trial.isdecimal() and len(trial) < 10):
        raise ConfigError(f"NUMBER: expected a trial's number or base, found {trial[:20]!r}")
    number = BASE_NUMBER if trial == "base" else int(trial)
    file = result_path(run_dir, number)
    if not file.is_file():
        known = ", ".join(trial_name(r.number) for r in read_records(run_dir).records) or "none"
        raise RunError(f"{run_dir.name}: trial {trial} has no record; records there: {known}")
    return read_record(file)


def load_suite(study: Study) -> tuple[Any, Suite]:
    """The tokenizer and the evaluation suite of the study."""
    from mtray.training.models import load_tokenizer

    fetch_corpora(study)
    tokenizer = load_tokenizer(study.model, study.trust_remote_code)
    from mtray.evaluation.suite import build_suite

    return tokenizer, build_suite(study, tokenizer)


def recorded_sources(study: Study, record: TrialRecord, job: Job, tokenizer: Any) -> dict[str, Any]:
    """The sources for the job of a record, or for the same recipe with another seed, built by the
    run's `sources_study`. RunError where the job should repeat the recorded draw and would draw
    something else."""
    store = build_sources(study, job, recorded_held(record), tokenizer)
    if not store or job.draw != recorded_job(record).draw:
        return store
    difference = drawn_again(record.mix, study, store, job.recipe, job.draw).difference
    if difference is not None:
        name = trial_name(record.number)
        changed = version_changes(record.versions, versions())
        raise RunError(
            f"trial {name} cannot be trained again as it was: {difference.text}"
            + (f" (also: {', '.join(changed)})" if changed else "")
            + "; restore what has changed and run this again, or draw new data, as another "
            f"experiment: `mtray rerun RUN {name} --seed N`"
        )
    return store


def build_sources(
    study: Study, job: Job, held: Mapping[str, int], tokenizer: Any
) -> dict[str, Any]:
    """The sources of a study as the job draws from them. `held`: how many examples of each; all
    where it has no entry."""
    if not job.recipe.parallel_size:
        return {}
    from mtray.data.store import build_store

    return dict(build_store(drawn_study(study, job), tokenizer, held, recipes=[job.recipe]))


def drawn_study(study: Study, job: Job) -> Study:
    """The study that the sources of a job are tokenised by: with the seed of its draw, and its
    replay generated."""
    from mtray.generated_replay import with_replay

    given = with_replay(study, partial(print, file=sys.stderr))
    return given.model_copy(update={"seed": job.draw.seed})


def train(
    job: Job,
    study: Study,
    store: Mapping[str, Any],
    requests: Sequence[Request],
    use: UseModel | None = None,
    divergence: DivergencePlan | None = None,
) -> Outcome:
    """`train_alone` in a process group of its own; once in a process, as DeepSpeed keeps the
    group."""
    with alone():
        return train_alone(job, study, store, requests, use, divergence)


def train_alone(
    job: Job,
    study: Study,
    store: Mapping[str, Any],
    requests: Sequence[Request],
    use: UseModel | None = None,
    divergence: DivergencePlan | None = None,
) -> Outcome:
    """Run the trial in this process, within `alone`: with DeepSpeed where it is installed, else
    with plain torch. `store`: its sources by name."""
    shown = {"state": ""}

    def progress(fields: dict[str, Any]) -> None:
        if fields.get("state", shown["state"]) != shown["state"]:
            shown.update(fields)
            print(f"{fields['state']} ...", file=sys.stderr, flush=True)

    engine = "deepspeed" if find_spec("deepspeed") else "torch"
    # only the recipe's own point
    evaluation = study.evaluation.without_further_points()
    study = study.model_copy(update={"evaluation": evaluation})
    options = RunOptions(engine, use=use, divergence=divergence)
    return run_trial(job, study, store, requests, options, Worker(progress=progress))


@contextmanager
def alone() -> Iterator[None]:
    """A process group of this process only, which DeepSpeed requires. Opens no port."""
    import torch
    import torch.distributed as dist

    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}.items():
        os.environ.setdefault(name, value)
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    store = dist.HashStore()  # type: ignore[attr-defined]  # documented, without a line in __all__
    dist.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def mix_notes(old: TrialRecord, new: TrialRecord) -> tuple[str, ...]:
    """Notes on the data of a training repeated with the same draw."""
    same = recorded_job(old).draw == recorded_job(new).draw
    return compared(old.mix, new.mix).notes if same and new.mix.shares else ()


def version_changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Packages whose version differs from the record's."""
    return [
        f"{name} was {before[name]}, is {version}"
        for name, version in now.items()
        if before.get(name, version) != version
    ]
