"""Made-up records for `scale_cluster.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from scale import objective

HOUR = 3600.0  # of a trial on the simulated clock, the median
STEPS = 200  # entries of a trial's loss
MEASURES = 24  # scores of a record


def record_of(job: Any, rng: np.random.Generator) -> Any:
    """A made-up record of the size that a study with two dozen measures gives."""
    from mtray.schema import Mix, Score, SourceShare, TrainingRecord, TrialRecord

    def score(value: float, half: float) -> Score:
        return Score(value=value, low=value - half, high=value + half, n=500, signature="scale|1")

    recipe, base = job.recipe, job.number < 0
    values = (0.55, 1.0) if base else objective(recipe.model_dump(), rng)
    objectives = dict(zip(("quality", "retention"), (score(v, 0.01) for v in values), strict=True))
    scores = {f"measure-{i}.en-uk": score(float(rng.uniform()), 0.02) for i in range(MEASURES)}
    loss = tuple((step, round(float(3 / (1 + step / 50)), 4)) for step in range(STEPS))
    return TrialRecord(
        number=job.number, role=job.role, state="complete", recipe=recipe, seed=job.seed,
        objectives=objectives, scores=scores, replicate=job.replicate, of=job.of,
        seconds={"train": HOUR, "evaluate": 300.0, "total": HOUR + 300.0},
        mix=Mix(shares=() if base else (
            SourceShare(source="pairs", kind="parallel", requested=recipe.parallel_size,
                        realised=recipe.parallel_size, available=10**6, tokens=30 * 10**4,
                        repeats=0.01),)),
        training=None if base else TrainingRecord(
            steps=STEPS, tokens=10**6, tokens_per_second=5e3, trainable_parameters=10**8,
            total_parameters=10**8, accumulated_learning_rate=1.0, precision="bf16", loss=loss),
        finished="2026-01-01T00:00:00+0000",
    )  # fmt: skip
