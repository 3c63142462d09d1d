"""`rerun`: one recipe of a run again from its record, through the same code, without Ray."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mtray.analysis.agreement import agreement_text
from mtray.commands.folders import run_folder
from mtray.data.repeated import compared, drawn_again
from mtray.divergence import divergence_plan
from mtray.errors import ConfigError, RunError
from mtray.evaluation.engine import Request
from mtray.evaluation.outputs import OUTPUTS_FILE, read_outputs, write_outputs
from mtray.evaluation.suite import Suite
from mtray.job import DivergencePlan, How, Job, Outcome, Use
from mtray.report.abilities import ability_sets, between_sides
from mtray.report.omissions import omissions
from mtray.report.records import (
    BASE_NUMBER,
    RESULT,
    read_record,
    read_records,
    result_path,
    trial_dir,
    trial_name,
    write_json,
)
from mtray.report.tables import score_text
from mtray.runtime import versions
from mtray.schema import Score, Study, TrialRecord
from mtray.search.run_folder import read_bound
from mtray.training.worker import Worker
from mtray.trial import run_trial
from mtray.trial_record import record_trial


def rerun(path: Path, trial: str, seed: int | None, out: Path | None) -> int:
    """Train and measure a recipe again and print old and new values side by side.

    Everything is as recorded, except the seed when one is given: it decides draw and order of the
    examples. The resamples of the intervals stay those of the study. Raises MtrayError when the
    record, its study or a file of it cannot be used, or other examples would be drawn.
    """
    run_dir = run_folder(path)
    bound = read_bound(run_dir)
    study = as_written(bound.study)
    old = find_record(run_dir, trial)
    if seed is not None and seed < 0:
        raise ConfigError(f"--seed: expected 0 or more, found {seed}")
    job = recorded_job(old)
    if seed is not None:
        job = replace(job, seed=seed, replicate=0, of=None)
    folder = _folder(out or run_dir / "reruns" / f"{trial_name(old.number)}-seed{job.seed}")
    tokenizer, suite = load_suite(study)
    base = None
    if job.number != BASE_NUMBER:
        base = read_outputs(
            trial_dir(run_dir, BASE_NUMBER) / OUTPUTS_FILE, suite.requests, suite.parts
        )
    store = recorded_sources(as_written(bound.sources_study), old, job, tokenizer)
    started = time.perf_counter()
    divergence = divergence_plan(study, suite, lambda: base)
    outcome = train(job, study, store, suite.requests, divergence=divergence)
    new, _ = record_trial(job, study, suite, outcome, base)
    total = {"total": time.perf_counter() - started}
    new = new.model_copy(update={"seconds": new.seconds | total})
    write_outputs(folder / OUTPUTS_FILE, suite.parts, suite.requests, outcome.outputs)
    file = write_json(folder / RESULT, new.model_dump(mode="json"))
    print("\n".join([*side_by_side(old, new), f"record: {file}"]))
    return 0


def recorded_job(record: TrialRecord) -> Job:
    """The job whose record this is."""
    return Job(record.number, record.role, record.recipe, record.seed, record.replicate, record.of)


def recorded_held(record: TrialRecord) -> dict[str, int]:
    """How many examples of each source the trial drew from, as far as its record says so."""
    return {s.source: s.held for s in record.mix.shares if s.held}


def as_written(study: Study) -> Study:
    """The study without the defaults that its record spells out: an ability takes options it does
    not know for a mistake, even where they are empty."""
    return Study.model_validate(study.model_dump(exclude_defaults=True))


def find_record(run_dir: Path, trial: str) -> TrialRecord:
    """The record of trial `trial`, a number or `base`. RunError, with those there are, when there
    is none."""
    if trial != "base" and not trial.isdecimal():
        raise ConfigError(f"NUMBER: expected a trial's number or base, found {trial!r}")
    number = BASE_NUMBER if trial == "base" else int(trial)
    file = result_path(run_dir, number)
    if not file.is_file():
        known = ", ".join(trial_name(r.number) for r in read_records(run_dir).records) or "none"
        raise RunError(f"{run_dir.name}: trial {trial} has no record; records there: {known}")
    return read_record(file)


def _folder(folder: Path) -> Path:
    """Made now, so that a mistake shows before the training."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {folder}: cannot be made ({error.strerror})") from None
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"--out {folder}: cannot be written; choose another folder")
    return folder


def load_suite(study: Study) -> tuple[Any, Suite]:
    """The tokenizer, and what the trials of the study answer."""
    from mtray.training.models import load_tokenizer

    fetch_corpora(study)
    tokenizer = load_tokenizer(study.model, study.trust_remote_code)
    from mtray.evaluation.suite import build_suite

    return tokenizer, build_suite(study, tokenizer)


def fetch_corpora(study: Study) -> None:
    """A run of the embedded study names files of the cache, which may have been emptied."""
    from mtray.embedded.corpora import corpora_dir, prepare

    if str(corpora_dir()) in study.model_dump_json():
        prepare()


def recorded_sources(study: Study, record: TrialRecord, job: Job, tokenizer: Any) -> dict[str, Any]:
    """The sources for a job that is a record's, or the same recipe with another seed; built by the
    `sources_study` of the run. RunError where the job is to draw what the record says and would
    draw something else."""
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
            + "; put back what has changed and run this again, or draw anew, as another "
            f"experiment: `mtray rerun RUN {name} --seed N`"
        )
    return store


def build_sources(
    study: Study, job: Job, held: Mapping[str, int], tokenizer: Any
) -> dict[str, Any]:
    """The sources of a study as the job draws from them. `held`: how many examples of each; all
    where it says nothing."""
    if not job.recipe.parallel_size:
        return {}
    from mtray.data.store import build_store
    from mtray.replay import with_replay

    given = with_replay(study, partial(print, file=sys.stderr))
    seeded = given.model_copy(update={"seed": job.draw.seed})
    few_shot = job.recipe.few_shot_share > 0
    return dict(build_store(seeded, tokenizer, held, few_shot=few_shot))


def train(
    job: Job,
    study: Study,
    store: Mapping[str, Any],
    requests: Sequence[Request],
    use: Use | None = None,
    divergence: DivergencePlan | None = None,
) -> Outcome:
    """The trial in this process: with DeepSpeed where it is installed, else with plain torch.
    `store`: its sources by name."""
    shown = {"state": ""}

    def progress(fields: dict[str, Any]) -> None:
        if fields.get("state", shown["state"]) != shown["state"]:
            shown.update(fields)
            print(f"{fields['state']} ...", file=sys.stderr, flush=True)

    engine = "deepspeed" if find_spec("deepspeed") else "torch"
    # the recipe's own point only
    evaluation = study.evaluation.without_further_points()
    study = study.model_copy(update={"evaluation": evaluation})
    with alone():
        how, worker = How(engine, use=use, divergence=divergence), Worker(progress=progress)
        return run_trial(job, study, store, requests, how, worker)


@contextmanager
def alone() -> Iterator[None]:
    """A process group of this process only, which DeepSpeed asks for. Opens no port."""
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


def side_by_side(old: TrialRecord, new: TrialRecord) -> list[str]:
    """Every objective, then every other score, of the record and of the rerun."""
    head = f"trial {trial_name(old.number)}: recorded (seed {old.seed}), now (seed {new.seed})"
    if old.state != "complete":
        ended = "was pruned at" if old.state == "pruned" else "failed:"
        head += f"; the recorded trial {ended} {old.reason}"
    rows = [("", "recorded", "now", "difference")]
    before, after = old.scores | old.objectives, new.scores | new.objectives
    # what was measured then and is not now has a row, too
    for name in dict.fromkeys([*new.objectives, *new.scores, *before]):
        score, earlier = after.get(name), before.get(name)
        change = difference_text(score, earlier) if score and earlier else ""
        was, now = (score_text(s) if s else "-" for s in (earlier, score))
        rows.append((name, was, now, change))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    changed = [*mix_notes(old, new), *version_changes(old.versions, new.versions)]
    sides = [ability_sets([record]) for record in (old, new)]
    said = (*between_sides(sides[0], sides[1], ("as recorded", "now")), *omissions([new]))
    return [head, *lines, *(f"note: {note}" for note in (*changed, *said))]


def mix_notes(old: TrialRecord, new: TrialRecord) -> tuple[str, ...]:
    """What to know of the data of a training that was made again with the same draw."""
    same = recorded_job(old).draw == recorded_job(new).draw
    return compared(old.mix, new.mix).notes if same and new.mix.shares else ()


def version_changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Which packages have other versions than a record says."""
    return [
        f"{name} was {before[name]}, is {version}"
        for name, version in now.items()
        if before.get(name, version) != version
    ]


def difference_text(score: Score, earlier: Score) -> str:
    """The difference, and what it is worth to human raters where that is known."""
    gap = score.value - earlier.value
    agreed = agreement_text(score.signature, gap) if score.signature == earlier.signature else ""
    return f"{gap:+.4f}" + (f"; {agreed}" if agreed else "")
