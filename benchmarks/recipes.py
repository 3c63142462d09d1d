"""Trains and evaluates recipes in parallel without Ray, each in a process of its own, for
`paradox.py` and `real_model.py`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import chain
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mtray.schema import TrialRecord
    from mtray.trial.job import Job, Outcome


class Row(NamedTuple):
    """`recipe` None is the base model untouched."""

    name: str
    study: Any
    recipe: dict[str, float] | None
    store: Any


def job_of(row: Row) -> Job:
    from mtray.schema import Recipe
    from mtray.trial.job import Job

    recipe = Recipe.model_validate(row.recipe or {"parallel_size": 0})
    return Job(-1 if row.recipe is None else 0, "search", recipe, row.study.seed)


def answered(row: Row, requests: Sequence[Any], threads: int) -> Outcome:
    """Train and answer, in a process of its own."""
    import torch

    from mtray.trial.job import RunOptions
    from mtray.trial.run import run_trial

    torch.set_num_threads(threads)
    return run_trial(job_of(row), row.study, row.store, requests, RunOptions("torch"))


def measured(
    rows: Sequence[Row], suite: Any, processes: int = 2
) -> Iterator[tuple[Row, TrialRecord, Outcome]]:
    """Every row with its record: the base model, which must be the first, then the others as they
    end."""
    from mtray.trial.record import record_trial

    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    started, base = time.perf_counter(), None
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        jobs = {pool.submit(answered, row, suite.requests, threads): row for row in rows}
        first, *others = jobs
        for job in chain([first], as_completed(others)):
            row, outcome = jobs[job], job.result()
            print(
                f"{time.perf_counter() - started:6.0f} s  {row.name}", file=sys.stderr, flush=True
            )
            record, _ = record_trial(job_of(row), row.study, suite, outcome, base)
            base = outcome.outputs if base is None else base
            yield row, record, outcome
