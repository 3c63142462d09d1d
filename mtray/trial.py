"""One trial without Ray: mix, fine-tune, answer the evaluation's requests; and, in another process,
the scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtray.data.few_shot import blended
from mtray.data.mixing import Draw, plan
from mtray.data.store import select, sums_of
from mtray.data.tables import Table
from mtray.errors import EvaluationError, TrialPruned, TrialStopped
from mtray.evaluation.batches import settings_of
from mtray.evaluation.engine import Output, Request
from mtray.runtime import versions
from mtray.schema import Mix, Recipe, Role, Score, Study, TrainingRecord, TrialRecord, moved_by
from mtray.seconds import Seconds, cost_scores
from mtray.together import answer_together
from mtray.training.checkpoint_key import checkpoint_key
from mtray.training.checkpoints import Checkpoints
from mtray.training.loop import Place, Reached, Rungs, finetune
from mtray.training.movement import movement
from mtray.training.reversion import Origin

if TYPE_CHECKING:
    from mtray.evaluation.suite import Suite

Progress = Callable[[dict[str, Any]], None]
Use = Callable[[Any, Any], None]


@dataclass(frozen=True)
class Job:
    """What a trial is asked to do; number -1 is the base model untouched. A replicate, counted from
    1, repeats the recipe of trial `of` with a seed that many above the study's. `attempts`: earlier
    ones that were lost (`mtray.search.failures.attempt`). `trained_as`: as in the record."""

    number: int
    role: Role
    recipe: Recipe
    seed: int
    replicate: int = 0
    of: int | None = None
    attempts: tuple[dict[str, Any], ...] = ()
    trained_as: int | None = None

    @property
    def draw(self) -> Draw:
        return Draw(self.seed - self.replicate, self.replicate)


@dataclass(frozen=True)
class RungPlan:
    """What a trial answers after these shares of its steps. `ask`, on rank 0, with the outputs and
    the seconds they took, says whether the trial ends."""

    shares: tuple[float, ...]
    requests: Sequence[Request]
    ask: Callable[[Reached, list[Output], float], bool]


@dataclass(frozen=True)
class Reverted:
    """What the tuned model answered at another alpha, and the seconds of that."""

    alpha: float
    outputs: list[Output]
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What a worker hands back: the answers and how the model that gave them was made. `pruned`: a
    rung ended the trial, so there are none. `notes` go to the record's `extra`, `reverted` is a
    trial's each."""

    outputs: list[Output]
    mix: Mix
    training: TrainingRecord | None
    seconds: dict[str, float]
    versions: dict[str, str]
    pruned: bool = False
    notes: dict[str, Any] = field(default_factory=dict)
    reverted: tuple[Reverted, ...] = ()


def run_trial(
    job: Job,
    study: Study,
    store: Mapping[str, Table],
    requests: Sequence[Request],
    *,
    engine: str = "deepspeed",
    place: Place = Place(),
    rungs: RungPlan | None = None,
    keep_in: Path | None = None,
    use: Use | None = None,
    batch_share: float = 1.0,
    progress: Progress = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Fine-tune by the recipe and generate. Every worker answers its part of the requests; rank 0
    returns all outputs, the others none. `keep_in`: the folder for checkpoints while it trains;
    `use` is called at the end, with the model as it was evaluated and its tokenizer.

    `batch_share`: of the usual tokens in a micro-batch and in a batch of the evaluation.
    `should_stop` stays True once it is; TrialStopped is raised soon after."""
    seconds = Seconds()
    with seconds.phase("imports"):
        import torch

        from mtray.runtime import keep_freed_memory
        from mtray.training.adapters import merged, prepare
        from mtray.training.engine import build_engine, resolve_precision
        from mtray.training.models import load_model, load_tokenizer
    keep_freed_memory()
    progress({"state": "loading"})
    with seconds.phase("load"):
        torch.manual_seed(job.seed)
        in_4_bits = bool(job.recipe.parallel_size) and job.recipe.method == "qlora"
        model = load_model(study.model, study.trust_remote_code, in_4_bits)
        tokenizer = load_tokenizer(study.model, study.trust_remote_code)
    precision = resolve_precision(study.training, next(model.parameters()).device.type)
    mix, record, notes, origin = Mix(), None, dict[str, Any](), Origin()
    alphas = _other_alphas(job, study)

    def answer(
        module: Any, asked: Sequence[Request], alpha: float = job.recipe.alpha
    ) -> list[Output]:
        settings = settings_of(study.evaluation, module, tokenizer, precision, batch_share)
        with origin.at(module, alpha), merged(module):
            return answer_together(settings, asked, place, progress, should_stop)

    def build(marked: Any) -> Any:
        if alphas or job.recipe.alpha != 1 or (study.training.movement and not place.rank):
            origin.take(marked)
        return build_engine(engine, marked, study.training, precision)

    whole: AbstractContextManager[Any] = nullcontext(model)
    if job.recipe.parallel_size:
        with seconds.phase("mix"):
            tables = blended(store, job.recipe.few_shot_share)
            parts = plan(job.recipe, study.sources, sums_of(study, tables, job.draw))
            examples, mix = select(tables, parts, study.training.allow_repeats, job.draw)
        on_the_way = _rungs(rungs, place, seconds, answer, progress)
        checkpoints = Checkpoints()
        if keep_in is not None and study.training.checkpoints:
            checkpoints = Checkpoints(
                keep_in,
                checkpoint_key(
                    study, job.recipe, job.seed, examples, mix, f"{engine} {precision}"
                ),
                study.training.checkpoint_minutes, more=seconds.so_far, restore=seconds.add,
                tell=lambda why: notes.update(checkpoint=f"begun anew: {why}"),
            )  # fmt: skip
        with seconds.phase("load"):
            prepared = prepare(model, job.recipe, study.training, job.seed)
        progress({"state": "training"})
        try:
            with seconds.phase("training"):
                tuned, record = finetune(
                    build, prepared.model, examples, study.training, precision=precision,
                    learning_rate=job.recipe.learning_rate, seed=job.seed, place=place,
                    rungs=on_the_way, checkpoints=checkpoints, progress=progress,
                    batch_share=batch_share, should_stop=should_stop, notes=prepared.notes,
                )  # fmt: skip
        except TrialPruned as end:
            return Outcome([], mix, end.record, seconds.phases, versions(), True, notes)
        whole = tuned.whole()
    progress({"state": "evaluating"})
    reverted = []
    with whole as module:
        with seconds.phase("generation"):
            outputs = answer(module, requests)
        if record is not None and study.training.movement and not place.rank:
            with seconds.phase("movement"):
                moved, mean = movement(module, origin.weights)
            whole_way = {"movement": moved, "mean_difference": mean}
            record = moved_by(record.model_copy(update=whole_way), job.recipe.alpha)
        for alpha in alphas:
            start = time.perf_counter()
            progress({"state": f"evaluating at alpha {alpha:g}"})
            with seconds.phase("reversion"):
                found = answer(module, requests, alpha)
            reverted.append(Reverted(alpha, found, time.perf_counter() - start))
        if use is not None:
            with origin.at(module, job.recipe.alpha):
                use(module, tokenizer)
    return Outcome(
        outputs, mix, record, seconds.phases, versions(), notes=notes, reverted=tuple(reverted)
    )


def _other_alphas(job: Job, study: Study) -> list[float]:
    """At which a trial's model is evaluated as well; the untouched model has nothing to revert."""
    wanted = study.evaluation.reversion if job.recipe.parallel_size else ()
    return [alpha for alpha in wanted if alpha != job.recipe.alpha]


def _rungs(
    plan: RungPlan | None,
    place: Place,
    seconds: Seconds,
    answer: Callable[[Any, Sequence[Request]], list[Output]],
    progress: Progress,
) -> Rungs:
    """What the training loop does at a rung: all workers answer, rank 0 asks, and the others wait
    for it."""
    if plan is None:
        return Rungs()

    def measure(reached: Reached, module: Any) -> bool:
        progress({"state": f"measuring at rung {reached.rung + 1}"})
        start = time.perf_counter()
        try:
            outputs = answer(module, plan.requests)
            return not place.rank and plan.ask(reached, outputs, time.perf_counter() - start)
        except TrialStopped:
            return False  # all workers leave together, before their next step
        finally:
            spent = time.perf_counter() - start
            seconds.phases["rungs"] = seconds.phases.get("rungs", 0.0) + spent
            # within the phase of training, which is not to count it
            seconds.phases["training"] = seconds.phases.get("training", 0.0) - spent
            progress({"state": "training"})

    return Rungs(plan.shares, measure)


def record_trial(
    job: Job, study: Study, suite: Suite, outcome: Outcome, base_outputs: Sequence[Output] | None
) -> tuple[TrialRecord, dict[str, Any]]:
    """Score what the worker returned; `base_outputs` None when this is the base model itself.

    Also returns the bootstrap draws behind quality and retention, each of shape (resamples,).
    """
    seconds = Seconds(dict(outcome.seconds))
    with seconds.phase("scoring"):
        result = suite.score(outcome.outputs, base_outputs, study.evaluation.bootstrap, study.seed)
    costs = cost_scores(outcome.seconds, study.resources)
    measured = {**result.scores, **result.objectives, **costs}
    for what, names in (("objective", study.objectives), ("constraint", study.constraints)):
        if missing := [name for name in names if name not in measured]:
            raise EvaluationError(
                f"{what} {missing[0]!r} was not measured; measured: {', '.join(sorted(measured))}"
            )
    over = {name: limit.over(measured[name].value) for name, limit in study.constraints.items()}
    # the untouched model stays what all others are measured against
    broken = [name for name, by in over.items() if by > 0 and job.role != "base"]
    record = TrialRecord(
        number=job.number, role=job.role, state="infeasible" if broken else "complete",
        recipe=job.recipe, seed=job.seed, replicate=job.replicate, of=job.of,
        trained_as=job.trained_as, mix=outcome.mix,
        objectives={name: measured[name] for name in study.objectives},
        scores={**result.scores, **costs}, constraints=over,
        reason=_broken_reason(study, measured, broken), counts=result.counts,
        training=outcome.training, seconds=seconds.phases, versions=outcome.versions,
        finished=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        extra={
            **outcome.notes,
            "left_out": result.left_out,
            "sample": [list(s) for s in suite.sample(outcome.outputs, 8)],
        },
    )  # fmt: skip
    # a cost has no segments to draw, so every draw of it is its value
    constant = {name: np.full(study.evaluation.bootstrap, s.value) for name, s in costs.items()}
    return record, {**result.draws, **constant}


def _broken_reason(
    study: Study, measured: Mapping[str, Score], broken: Sequence[str]
) -> str | None:
    told = [
        f"{name} is {measured[name].value:.4g}, not {study.constraints[name].text()}"
        for name in broken
    ]
    return f"breaks a constraint: {'; '.join(told)}" if told else None
