"""One trial without Ray: mix, fine-tune, answer the evaluation's requests; and, in another process,
the scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mtray.data.mixing import plan
from mtray.data.store import TokenTable, select
from mtray.errors import EvaluationError
from mtray.evaluation.engine import Output, Request
from mtray.schema import Mix, Recipe, Role, Study, TrainingRecord, TrialRecord
from mtray.training.loop import Place, finetune

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mtray.evaluation.suite import Suite

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Job:
    """What a trial is asked to do; number -1 is the base model untouched."""

    number: int
    role: Role
    recipe: Recipe
    seed: int


@dataclass
class Seconds:
    """Wall-clock seconds by phase."""

    phases: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Outcome:
    """What a worker hands back: the answers and how the model that gave them was made."""

    outputs: list[Output]
    mix: Mix
    training: TrainingRecord | None
    seconds: dict[str, float]
    versions: dict[str, str]


def run_trial(
    job: Job,
    study: Study,
    store: Mapping[str, TokenTable],
    requests: Sequence[Request],
    *,
    engine: str = "deepspeed",
    place: Place = Place(),
    progress: Progress = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Fine-tune by the recipe and generate. Only rank 0 generates; the others return no outputs."""
    seconds = Seconds()
    with seconds.phase("imports"):
        import torch

        from mtray.evaluation.engine import run_requests
        from mtray.runtime import keep_freed_memory
        from mtray.training.engine import build_engine, resolve_precision
        from mtray.training.models import load_model, load_tokenizer
    keep_freed_memory()
    progress({"state": "loading"})
    with seconds.phase("load"):
        torch.manual_seed(job.seed)
        model = load_model(study.model, study.trust_remote_code)
        tokenizer = load_tokenizer(study.model, study.trust_remote_code)
    precision = resolve_precision(study.training, next(model.parameters()).device.type)
    mix, record = Mix(), None
    if job.recipe.parallel_size:
        with seconds.phase("mix"):
            parts = plan(job.recipe, study.sources)
            examples, mix = select(store, parts, study.training.allow_repeats)
        progress({"state": "training"})
        with seconds.phase("training"):
            model, record = finetune(
                lambda m: build_engine(engine, m, study.training, precision),
                model, examples, study.training, precision=precision,
                learning_rate=job.recipe.learning_rate, frozen_layers=job.recipe.frozen_layers,
                seed=job.seed, place=place, progress=progress, should_stop=should_stop,
            )  # fmt: skip
    outputs: list[Output] = []
    if place.rank == 0:
        progress({"state": "evaluating"})
        with seconds.phase("generation"):
            outputs = run_requests(
                model, tokenizer, requests,
                max_tokens_per_batch=study.evaluation.batch_tokens,
                autocast=torch.bfloat16 if precision == "bf16" else None,
                progress=lambda done, of: progress({"step": done, "steps": of}),
                should_stop=should_stop,
            )  # fmt: skip
    return Outcome(outputs, mix, record, seconds.phases, versions())


def versions() -> dict[str, str]:
    """What the numbers depend on."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for package in (
        "mtray",
        "torch",
        "transformers",
        "deepspeed",
        "ray",
        "optuna",
        "unbabel-comet",
        "sacrebleu",
    ):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def record_trial(
    job: Job, study: Study, suite: Suite, outcome: Outcome, base_outputs: Sequence[Output] | None
) -> tuple[TrialRecord, dict[str, Any]]:
    """Score what the worker returned; `base_outputs` None when this is the base model itself.

    Also returns the bootstrap draws behind quality and retention, each of shape (resamples,).
    """
    seconds = Seconds(dict(outcome.seconds))
    with seconds.phase("scoring"):
        result = suite.score(outcome.outputs, base_outputs, study.evaluation.bootstrap, study.seed)
    missing = [
        name
        for name in study.objectives
        if name not in result.objectives and name not in result.scores
    ]
    if missing:
        raise EvaluationError(f"objective {missing[0]!r} was not measured")
    measured = {**result.scores, **result.objectives}
    record = TrialRecord(
        number=job.number, role=job.role, state="complete", recipe=job.recipe, seed=job.seed,
        mix=outcome.mix, objectives={name: measured[name] for name in study.objectives},
        scores=result.scores, counts=result.counts,
        training=outcome.training, seconds=seconds.phases, versions=outcome.versions,
        finished=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        extra={
            "left_out": result.left_out,
            "sample": [list(s) for s in suite.sample(outcome.outputs, 8)],
        },
    )  # fmt: skip
    return record, result.draws
