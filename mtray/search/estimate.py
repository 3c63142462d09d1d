"""How long a trial takes here, from a few measured steps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mtray.data.few_shot import blended
from mtray.data.mixing import plan
from mtray.data.store import select, sums_of
from mtray.job import How, Job
from mtray.schema import Recipe, Resources, Study
from mtray.trial import run_trial

# of a trial beyond training and evaluation; benchmarks/overhead.py measures it
STARTUP_SECONDS = 7.0


@contextmanager
def threads_of(resources: Resources) -> Iterator[None]:
    """Compute with as many threads as Ray gives a worker (its `OMP_NUM_THREADS`)."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, int(resources.cpus_per_worker)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seconds_per_trial(
    study: Study, store: Any, suite: Any, recipe: Recipe, steps: int = 6
) -> tuple[float, float]:
    """Seconds of a whole trial of `recipe` with one worker, and its training tokens per second,
    extrapolated from `steps` steps and a tenth of the evaluation's requests, in this process and
    without DeepSpeed."""
    few = study.model_copy(
        update={"training": study.training.model_copy(update={"max_steps": steps})}
    )
    requests = suite.requests[:: max(1, len(suite.requests) // 100)]
    start = time.perf_counter()
    job = Job(0, "search", recipe, study.seed)
    with threads_of(study.resources):
        outcome = run_trial(job, few, store, requests, How("torch"))
    spent = time.perf_counter() - start
    assert outcome.training is not None
    tables = blended(store, recipe.few_shot_share)
    parts = plan(recipe, study.sources, sums_of(study, tables))
    _, mix = select(tables, parts, study.training.allow_repeats)
    speed = outcome.training.tokens_per_second
    generation = outcome.seconds["generation"] * len(suite.requests) / len(requests)
    fixed = spent - outcome.seconds["training"] - outcome.seconds["generation"]
    return STARTUP_SECONDS + fixed + mix.tokens * study.training.epochs / speed + generation, speed
