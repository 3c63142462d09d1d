"""The record of a trial, with the scores of what its workers returned."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mtray.errors import EvaluationError
from mtray.evaluation.costs import cost_scores
from mtray.evaluation.inference.requests import Output
from mtray.schema import Study, TrialRecord, beyond, broken_reason
from mtray.trial.job import Job, Outcome
from mtray.trial.phase_timer import PhaseTimer

if TYPE_CHECKING:
    from mtray.evaluation.suite import Suite


def record_trial(
    job: Job, study: Study, suite: Suite, outcome: Outcome, base_outputs: Sequence[Output] | None
) -> tuple[TrialRecord, dict[str, Any]]:
    """Score what the worker returned; `base_outputs` is None when this is the base model itself.

    Also returns the bootstrap draws of quality and retention, each of shape (resamples,).
    """
    seconds = PhaseTimer(dict(outcome.seconds))
    with seconds.phase("scoring"):
        result = suite.score(outcome.outputs, base_outputs, study.evaluation.bootstrap, study.seed)
    costs = cost_scores(outcome.seconds, study.resources)
    measured = {**result.scores, **result.objectives, **costs}
    for what, names in (("objective", study.objectives), ("constraint", study.constraints)):
        if missing := [name for name in names if name not in measured]:
            why = result.left_out.get(missing[0].removeprefix("retention."), "")
            raise EvaluationError(
                f"{what} {missing[0]!r} was not measured{why and f', since {why}'}; measured: "
                f"{', '.join(sorted(measured))}"
            )
    values = {name: score.value for name, score in measured.items()}
    # the base model is the reference of all others, so it is never infeasible
    broken = None if job.role == "base" else broken_reason(study.constraints, values)
    record = TrialRecord(
        number=job.number, role=job.role, state="infeasible" if broken else "complete",
        recipe=job.recipe, seed=job.seed, replicate=job.replicate, of=job.of,
        trained_as=job.trained_as, mix=outcome.mix,
        objectives={name: measured[name] for name in study.objectives},
        scores={**result.scores, **costs},
        constraints=beyond(study.constraints, values), reason=broken, counts=result.counts,
        training=outcome.training, seconds=seconds.phases, versions=outcome.versions,
        finished=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        extra={
            **outcome.notes,
            "left_out": result.left_out,
            "sample": [list(s) for s in suite.sample(outcome.outputs, 8)],
        },
    )  # fmt: skip
    # a cost has no segments to resample, so every draw equals its value
    constant = {name: np.full(study.evaluation.bootstrap, s.value) for name, s in costs.items()}
    return record, {**result.draws, **constant}
