"""Trains the recipe table's trials, and stores everything that scores are computed from.

`FOLDER/plan.json` describes the folder; `FOLDER/NUMBER/` (`base` for the base model) holds
`job.json`, `outputs.parquet`, `rung-1.parquet`, `rung-2.parquet`, and last of all `trial.json`:
with it the trial is done, without it the trial starts over. Several processes may train in one
folder: the one that trains a trial holds its lock, which the kernel releases with the process.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from table_plan import SEGMENTS, SHARES, plan

import mtray
from mtray.data.store_usage import locked
from mtray.errors import ConfigError, LossNotFinite, RunError, ValueNotFinite
from mtray.evaluation.inference.requests import Output, Request
from mtray.evaluation.output_files import write_outputs
from mtray.preparation import PreparedSweep
from mtray.report.records import write_json
from mtray.run_files import BASE_NUMBER, OUTPUTS_FILE, trial_name
from mtray.runtime import code_hash
from mtray.schema import Mix, Recipe, TrainingRecord
from mtray.training.loop import RungPosition
from mtray.training.worker import Worker
from mtray.trial.job import Job, Outcome, RungPlan, RunOptions

PLAN, JOB, TRIAL, LOCK = "plan.json", "job.json", "trial.json", "lock"


def rung_file(rung: int) -> str:
    return f"rung-{rung + 1}.parquet"


@dataclass(frozen=True)
class Kept:
    """A trial that is done. `reason`: why it failed; it has no outputs then. `rungs`: where it was
    measured, with the `seconds` of that. `seconds` is by phase, by the clock, with the whole as
    `total`; `cpu` the processor's, by what the trial was at (`Clock`): on a busy machine these are
    the truer cost. `code`: the package's hash."""

    folder: Path
    job: Job
    mix: Mix = field(default_factory=Mix)
    training: TrainingRecord | None = None
    rungs: tuple[dict[str, Any], ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    threads: int = 1
    machine: str = ""
    code: str = ""
    finished: str = ""
    reason: str | None = None


class Clock:
    """This process's processor seconds by what a trial says that it is at: `loading`, `training`,
    `rung1`, `rung2`, `evaluating`; `total` is their sum."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}
        self._at, self._since = "loading", time.process_time()

    def progress(self, fields: dict[str, Any]) -> None:
        """What a `Worker` is given to tell of its progress."""
        if "state" in fields:
            now = time.process_time()
            self._spent[self._at] = self._spent.get(self._at, 0.0) + now - self._since
            self._since = now
            self._at = fields["state"].replace("measuring at rung ", "rung")

    def stop(self) -> dict[str, float]:
        self.progress({"state": ""})
        return {**self._spent, "total": sum(self._spent.values())}


def machine() -> str:
    """Of this machine what seconds depend on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.is_file() else ():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {len(os.sched_getaffinity(0))} cores"


def code() -> str:
    """The package's, read once."""
    return code_hash(Path(mtray.__file__).parent)


def bind(folder: Path, found: dict[str, Any]) -> None:
    """The folder is of this plan, and of no other. Raises ConfigError."""
    path = folder / PLAN
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK, fcntl.LOCK_EX):
        if not path.is_file():
            write_json(path, found)
    known = json.loads(path.read_text(encoding="utf-8"))
    for key, value in json.loads(json.dumps(found)).items():
        if known.get(key) != value:
            there, here = str(known.get(key))[:60], str(value)[:60]
            raise ConfigError(
                f"{path}: {key} is {there!r} there and {here!r} here; a table's trials are all of "
                "one study and plan: give another --work"
            )


def what_is_trained(prepared: PreparedSweep, jobs: Sequence[Job]) -> dict[str, Any]:
    """What trials depend on, and must be the same of all, without any path."""
    from mtray.generated_replay import model_identity

    study, suite = prepared.study, prepared.suite

    def asked(requests: Sequence[Request]) -> str:
        return _hash([dataclasses.astuple(request) for request in requests])

    return {
        "jobs": _hash([job_fields(job) for job in jobs]),
        "model": model_identity(study.model),
        "requests": asked(suite.requests),
        "requests_at_rungs": asked(suite.part(SEGMENTS).requests),
        "rungs": list(SHARES),
        "segments": SEGMENTS,
        "training": study.training.model_dump(mode="json", exclude_defaults=True),
        "beams": study.evaluation.beams,
    }


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()


def job_fields(job: Job) -> dict[str, Any]:
    """A job as JSON; of the recipe what differs from its defaults."""
    fields = {f.name: getattr(job, f.name) for f in dataclasses.fields(job)}
    return {**fields, "recipe": job.recipe.model_dump(exclude_defaults=True)}


def read_trial(folder: Path) -> Kept | None:
    """The trial of a folder, None where it is not done. RunError for files that are damaged."""
    if not (folder / TRIAL).is_file():
        return None
    try:
        job = json.loads((folder / JOB).read_text(encoding="utf-8"))
        found = json.loads((folder / TRIAL).read_text(encoding="utf-8"))
        job |= {"recipe": Recipe.model_validate(job["recipe"]), "attempts": ()}
        training = found["training"] and TrainingRecord.model_validate(found["training"])
        mix = Mix.model_validate(found["mix"])
        found |= {"mix": mix, "training": training, "rungs": tuple(found["rungs"])}
        return Kept(folder, Job(**job), **found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{folder}: not a readable trial: {error}; delete {folder / TRIAL} to train it anew"
        ) from None


def read_trials(work: Path) -> list[Kept]:
    """All that are done, by number. Raises RunError."""
    if not (work / PLAN).is_file():
        raise RunError(f"{work}: no {PLAN} there; train first (`train --work {work}`)")
    found = [read_trial(path.parent) for path in work.glob(f"*/{TRIAL}")]
    return sorted((kept for kept in found if kept), key=lambda kept: kept.job.number)


def train(
    prepared: PreparedSweep, work: Path, until: int | None = None, minutes: float | None = None,
    known: Collection[int] = (),
) -> int:  # fmt: skip
    """Train what is not done of the plan's first `until` trials, one after another; how many this
    process did. `known`: numbers of trials that a table has already. None begins after `minutes`.
    Raises MtrayError."""
    held = {name: len(table) for name, table in prepared.store.items()}
    jobs = plan(prepared.study, prepared.space, held)
    bind(work, what_is_trained(prepared, jobs))
    code()  # as it is now, whatever happens to the files while this runs
    # what every score is measured against is answered in every folder
    wanted = [j for j in jobs[:until] if j.number == BASE_NUMBER or j.number not in known]
    jobs, started, done = wanted, time.monotonic(), 0
    while minutes is None or time.monotonic() - started < 60 * minutes:
        with _next(work, jobs) as job:
            if job is None:
                break
            kept = train_one(job, prepared, folder_of(work, job))
        done += 1
        _tell(kept, sum(_is_done(work, j) for j in jobs), len(jobs))
    return done


def folder_of(work: Path, job: Job) -> Path:
    return work / trial_name(job.number)


def _is_done(work: Path, job: Job) -> bool:
    return (folder_of(work, job) / TRIAL).is_file()


@contextmanager
def _next(work: Path, jobs: Sequence[Job]) -> Iterator[Job | None]:
    """The first trial that is not done and that no other process trains, with its lock."""
    for job in jobs:
        if _is_done(work, job):
            continue
        folder_of(work, job).mkdir(exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(
                    locked(folder_of(work, job) / LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
                )
            except BlockingIOError:
                continue
            if not _is_done(work, job):  # else another process has just done it
                yield job
                return
    yield None


def train_one(job: Job, prepared: PreparedSweep, folder: Path) -> Kept:
    """Train and answer as a sweep's worker does, with torch's engine, and keep what came."""
    import torch

    from mtray.trial.run import run_trial

    for stale in folder.glob(".*.tmp"):  # of a process that was killed
        stale.unlink()
    suite = prepared.suite
    part = suite.part(SEGMENTS)
    rungs: list[tuple[RungPosition, list[Output], float]] = []

    def ask(reached: RungPosition, outputs: list[Output], seconds: float) -> bool:
        rungs.append((reached, outputs, seconds))
        return False

    how, reason = RunOptions("torch", RungPlan(SHARES, part.requests, ask)), None
    start, clock = time.perf_counter(), Clock()
    worker = Worker(progress=clock.progress)
    try:
        outcome = run_trial(job, prepared.study, prepared.store, suite.requests, how, worker)
    except (LossNotFinite, ValueNotFinite) as error:  # a recipe's doing; all else ends the table
        outcome, reason = Outcome([], Mix(), None, {}, {}), f"{type(error).__name__}: {error}"
    seconds, cpu = {**outcome.seconds, "total": time.perf_counter() - start}, clock.stop()
    write_json(folder / JOB, job_fields(job))
    if reason is None:
        write_outputs(folder / OUTPUTS_FILE, suite.parts, suite.requests, outcome.outputs)
        for reached, outputs, _ in rungs:
            write_outputs(folder / rung_file(reached.rung), part.parts, part.requests, outputs)
    kept = Kept(
        folder, job, outcome.mix, outcome.training,
        tuple({**reached._asdict(), "seconds": spent} for reached, _, spent in rungs),
        seconds, cpu, outcome.versions, torch.get_num_threads(), machine(),
        code(), time.strftime("%Y-%m-%dT%H:%M:%S%z"), reason,
    )  # fmt: skip
    write_json(folder / TRIAL, _trial_fields(kept))
    return kept


def _trial_fields(kept: Kept) -> dict[str, Any]:
    fields = {f.name: getattr(kept, f.name) for f in dataclasses.fields(kept)}
    del fields["folder"], fields["job"]
    training = kept.training and kept.training.model_dump(mode="json")
    return {**fields, "mix": kept.mix.model_dump(mode="json"), "training": training}


def _tell(kept: Kept, done: int, of: int) -> None:
    phases = ", ".join(f"{n} {s:.1f}" for n, s in kept.cpu.items() if s >= 0.1)
    phases = f"{phases} s of a core; {kept.seconds['total']:.1f} s by the clock"
    what = f"trial {trial_name(kept.job.number)} ({kept.job.role}, seed {kept.job.seed})"
    print(
        f"{time.strftime('%H:%M:%S')}  {done} of {of} done: {what}: {kept.reason or phases}",
        file=sys.stderr, flush=True,
    )  # fmt: skip
