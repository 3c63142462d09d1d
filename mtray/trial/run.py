"""One trial on one worker, without Ray: mix, fine-tune, answer the evaluation's requests."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from mtray.data.store import mixed
from mtray.data.tables import Table
from mtray.errors import ConfigError, TrialPruned, TrialStopped
from mtray.evaluation.inference.batching import Settings, settings_of
from mtray.evaluation.inference.requests import Output, Request
from mtray.runtime import keep_freed_memory, versions
from mtray.schema import Mix, Study, TrainingRecord, moved_by, study_of
from mtray.training.checkpoint_key import checkpoint_key
from mtray.training.checkpoints import Checkpoints
from mtray.training.examples import Example
from mtray.training.loop import CheckpointSchedule, RungPosition, RungSchedule, Tuning, finetune
from mtray.training.reversion import InitialWeights
from mtray.training.weight_distance import weight_distances
from mtray.training.worker import Worker
from mtray.trial.base_model import load_base_model
from mtray.trial.distributed_evaluation import decision_of_rank_0, evaluate_distributed
from mtray.trial.divergence import Divergence
from mtray.trial.intermediate_checkpoints import IntermediateCheckpoints, mix_until
from mtray.trial.job import IntermediatePoint, Job, Outcome, ReversionPoint, RunOptions
from mtray.trial.phase_timer import PhaseTimer


def run_trial(
    job: Job,
    study: Study,
    store: Mapping[str, Table],
    requests: Sequence[Request],
    options: RunOptions = RunOptions(),
    worker: Worker = Worker(),
) -> Outcome:
    """Fine-tune by the recipe and evaluate. Every worker answers its part of the requests; rank 0
    returns all outputs, the others none. Raises TrialStopped soon after `worker.should_stop`."""
    keep_freed_memory()
    trial = _Trial(job, study, options, worker)
    try:
        outcome = _through(trial, store, requests)
    except TrialStopped:
        trial.checkpoints.save_trained()
        trial.close()
        raise
    trial.close()
    return outcome


def _through(trial: _Trial, store: Mapping[str, Table], requests: Sequence[Request]) -> Outcome:
    trial.load()
    if trial.trains:
        examples = trial.mixed(store)
        try:
            trial.train(examples, requests)
        except TrialPruned as end:
            return trial.pruned(end.record)
    return trial.evaluated(requests)


class _Trial:
    """A worker's state of its trial, from the base model's weights to the outputs."""

    def __init__(self, job: Job, study: Study, options: RunOptions, worker: Worker) -> None:
        self._job, self._options, self._worker = job, options, worker
        self._study = study_of(job.recipe, study)
        self._seconds, self._notes, self._restored = PhaseTimer(), dict[str, Any](), 0.0
        self._origin, self._mix = InitialWeights(), Mix()
        self._record: TrainingRecord | None = None
        # the untouched base model has nothing to revert
        wanted = study.evaluation.reversion if job.recipe.parallel_size else ()
        self._alphas = [alpha for alpha in wanted if alpha != job.recipe.reversion_alpha]
        self._intermediate = IntermediateCheckpoints(self._seconds)
        self._built: Any = None
        self.checkpoints = Checkpoints()

    @property
    def trains(self) -> bool:
        return bool(self._job.recipe.parallel_size)

    def load(self) -> None:
        with self._seconds.phase("imports"):
            import torch  # noqa: F401

            import mtray.training.models  # noqa: F401
        self._tell("loading")
        with self._seconds.phase("load"):
            self._loaded = load_base_model(
                self._study, self._job.recipe, self._job.seed, self._worker.models
            )
        self._notes |= self._loaded.notes
        self._whole: AbstractContextManager[Any] = nullcontext(self._loaded.model)

    def close(self) -> None:
        """Free what the engine holds, in this process and in the other workers."""
        if self._built is not None:
            self._built.close()

    def mixed(self, store: Mapping[str, Table]) -> Sequence[Example]:
        """The examples of the recipe's mix."""
        recipe, draw = self._job.recipe, self._job.draw
        with self._seconds.phase("mix"):
            examples, self._mix = mixed(self._study, store, recipe, draw)
            self._mix = self._seen(examples, recipe.stop_after)
        return examples

    def _seen(self, examples: Sequence[Example], stop_after: float) -> Mix:
        """The mix with counts of what is seen of it up to this share of the steps."""
        return mix_until(self._mix, examples, self._study.training, self._job.seed, stop_after)

    def train(self, examples: Sequence[Example], requests: Sequence[Request]) -> None:
        """Raises TrialPruned where a rung ends it. `requests`: of the intermediate checkpoints."""
        from mtray.training.adapters import prepare

        recipe, seed, training = self._job.recipe, self._job.seed, self._study.training
        with self._seconds.phase("load"):
            prepared = prepare(self._loaded.model, recipe, training, seed)
        precision = self._loaded.precision
        if recipe.learning_rate is None:
            raise ConfigError("the recipe has no `learning_rate`, and there is no default")
        tuning = Tuning(
            training, precision, recipe.learning_rate, seed, prepared.notes, recipe.stop_after
        )
        self.checkpoints, points = self._checkpoints(examples), self._points(examples, requests)
        self._tell("training")
        with self._seconds.phase("training"):
            tuned, self._record = finetune(
                self._engine, prepared.model, examples, tuning,
                rungs=self._rungs(points), checkpoints=self.checkpoints, worker=self._worker,
            )  # fmt: skip
        self._whole = tuned.whole()

    def _engine(self, marked: Any) -> Any:
        from mtray.training.engine import build_engine

        training = self._study.training
        reverts = self._alphas or self._job.recipe.reversion_alpha != 1
        if reverts or self._measures_weight_distance or self._options.divergence is not None:
            self._origin.take(marked)
        self._built = build_engine(self._options.engine, marked, training, self._loaded.precision)
        return self._built

    @property
    def _measures_weight_distance(self) -> bool:
        return self._study.training.movement and not self._worker.process_group.rank

    def _checkpoints(self, examples: Sequence[Example]) -> Checkpoints:
        training, engine = self._study.training, f"{self._options.engine} {self._loaded.precision}"
        if self._options.keep_in is None or not training.checkpoints:
            return Checkpoints()
        key = checkpoint_key(
            self._study, self._job.recipe, self._job.seed, examples, self._mix, engine
        )
        return Checkpoints(
            self._options.keep_in, key, training.checkpoint_minutes,
            more=self._so_far, restore=self._go_on, guard=self._options.guard,
            tell=lambda why: self._notes.update(checkpoint=f"begun anew: {why}"),
        )  # fmt: skip

    def _so_far(self) -> dict[str, Any]:
        return {"seconds": self._seconds.so_far(), "intermediate": self._intermediate.state()}

    def _go_on(self, more: Mapping[str, Any]) -> None:
        self._restore(more["seconds"])
        self._intermediate.go_on(more["intermediate"])

    def _restore(self, phases: Mapping[str, float]) -> None:
        """Restore the phases of a checkpoint. Phases that this attempt ran itself, above all
        loading, count once: a resumed recipe does not cost them twice."""
        brought = {k: v for k, v in phases.items() if k not in self._seconds.phases}
        self._seconds.add(brought)
        self._restored = sum(brought.values())

    def _points(
        self, examples: Sequence[Example], requests: Sequence[Request]
    ) -> CheckpointSchedule:
        """What the training loop does at an intermediate checkpoint: all workers answer."""

        def evaluate(share: float, module: Any, record: TrainingRecord) -> IntermediatePoint:
            self._tell(f"evaluating after {share:.0%} of the steps")
            start = time.perf_counter()
            outputs = self._answers(module, requests)
            seconds = {"generation": time.perf_counter() - start}
            if self._measures_weight_distance:
                record = self._with_weight_distance(module, record)
            self._tell("training")
            return IntermediatePoint(share, outputs, self._seen(examples, share), record, seconds)

        wanted = self._study.evaluation.intermediate_checkpoints
        shares = [share for share in wanted if share < self._job.recipe.stop_after]
        keep = None if self._worker.process_group.rank else self._options.keep
        return self._intermediate.points(shares, evaluate, keep)

    def _rungs(self, points: CheckpointSchedule) -> RungSchedule:
        """What the training loop does at a rung: all workers answer, rank 0 decides, and the others
        wait for it."""
        plan = self._options.rungs
        if plan is None:
            return RungSchedule(points=points)

        def measure(reached: RungPosition, module: Any) -> bool:
            self._tell(f"measuring at rung {reached.rung + 1}")
            start = time.perf_counter()
            try:
                outputs = self._answers(module, plan.requests)
                ask = partial(plan.ask, reached, outputs, time.perf_counter() - start)
                return decision_of_rank_0(ask, self._worker.process_group)
            finally:
                self._seconds.beside_training("rungs", time.perf_counter() - start)
                self._tell("training")

        return RungSchedule(plan.shares, measure, points)

    def pruned(self, record: TrainingRecord) -> Outcome:
        return Outcome(
            [], self._mix, record, self._seconds.phases, versions(), pruned=True,
            notes=self._notes, restored=self._restored,
        )  # fmt: skip

    def evaluated(self, requests: Sequence[Request]) -> Outcome:
        self._tell("evaluating")
        with self._whole as module:
            with self._seconds.phase("generation"):
                outputs = self._answers(module, requests)
            divergence, record = self._divergence(module), self._record
            if record is not None and self._measures_weight_distance:
                with self._seconds.phase("movement"):
                    record = self._with_weight_distance(module, record)
            if record is not None:
                kl = self._forward_kl(divergence, self._job.recipe.reversion_alpha)
                record = record.model_copy(update={"forward_kl": kl})
            reverted = tuple(
                self._reverted(module, requests, alpha, divergence) for alpha in self._alphas
            )
            if self._options.use is not None:
                with self._origin.at(module, self._job.recipe.reversion_alpha):
                    self._options.use(module, self._loaded.tokenizer)
        return Outcome(
            outputs, self._mix, record, self._seconds.phases, versions(),
            notes=self._notes, reverted=reverted, intermediate=self._intermediate.all(),
            restored=self._restored,
        )  # fmt: skip

    def _answers(
        self, module: Any, asked: Sequence[Request], alpha: float | None = None
    ) -> list[Output]:
        """`alpha` defaults to the recipe's."""
        from mtray.training.adapters import merged

        at = self._job.recipe.reversion_alpha if alpha is None else alpha
        with self._origin.at(module, at), merged(module):
            return evaluate_distributed(self._settings(module), asked, self._worker)

    def _settings(self, module: Any) -> Settings:
        return settings_of(
            self._study.evaluation, module, self._loaded.tokenizer, self._loaded.precision,
            self._worker.batch_share,
        )  # fmt: skip

    def _with_weight_distance(self, module: Any, record: TrainingRecord) -> TrainingRecord:
        """The record with the distance of the trained weights from the base model."""
        distances, mean = weight_distances(module, self._origin.weights)
        whole_way = {"movement": distances, "mean_difference": mean}
        return moved_by(record.model_copy(update=whole_way), self._job.recipe.reversion_alpha)

    def _divergence(self, module: Any) -> Divergence | None:
        plan = self._options.divergence
        if plan is None or self._record is None:
            return None
        with self._seconds.phase("divergence"):
            return Divergence(plan, self._settings(module), self._origin)

    def _forward_kl(self, divergence: Divergence | None, alpha: float) -> float | None:
        if divergence is None:
            return None
        with self._seconds.phase("divergence"):
            found = divergence.at(alpha)
        if math.isfinite(found):
            return found
        self._notes["divergence"] = f"not recorded: {found} at alpha {alpha:g}"
        return None

    def _reverted(
        self, module: Any, requests: Sequence[Request], alpha: float, divergence: Divergence | None
    ) -> ReversionPoint:
        start = time.perf_counter()
        self._tell(f"evaluating at alpha {alpha:g}")
        with self._seconds.phase("reversion"):
            found = self._answers(module, requests, alpha)
            seconds = time.perf_counter() - start
        return ReversionPoint(alpha, found, seconds, self._forward_kl(divergence, alpha))

    def _tell(self, state: str) -> None:
        self._worker.progress({"state": state})
