"""The plan of the recipe table: which recipes, with which seeds and in which order, fixed and
numbered.

The base model is -1; then come the baselines, each with a second seed; then space-filling points,
one of every `EVERY` with a second seed and a few with a third. The recipes trained so far are
therefore always a table of the whole space with repeats, wherever it is cut off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mtray.run_files import BASE_NUMBER
from mtray.schema import Recipe, Study
from mtray.search.strategy.baseline_recipes import baseline_recipes
from mtray.search.strategy.samplers import space_filling
from mtray.search_space.space import Space
from mtray.trial.job import Job

SHARES = (0.25, 0.5)  # of a trial's steps, after which it is measured
SEGMENTS = 0.25  # of every evaluation set that is measured there
POINTS = 320  # that fill the space
EVERY = 4  # points of which one has a second seed
THIRD = 7  # such groups of points, of one of which it has a third seed, too
SEED = 20_000  # of the points, and of which of them are repeated


def plan(
    study: Study, space: Space, held: Mapping[str, int] | None = None, points: int = POINTS
) -> list[Job]:
    """Every trial in the order of its number; `held` counts what every source has. With fewer
    `points` it is a beginning of the whole plan."""
    jobs = [Job(BASE_NUMBER, "base", Recipe(parallel_size=0), study.seed)]

    def number() -> int:
        return len(jobs) + BASE_NUMBER

    def again(job: Job, replicate: int) -> None:
        seed = study.seed + replicate
        jobs.append(replace(job, number=number(), seed=seed, replicate=replicate, of=job.number))

    for role, params in baseline_recipes(space, study, held).items():
        jobs.append(Job(number(), role, space.recipe(params), study.seed))
    baselines = jobs[1:]
    for job in baselines:
        again(job, 1)
    # not every fourth point: those of a Sobol sequence lie in one half of a parameter's range
    repeated = np.random.default_rng(SEED).integers(EVERY, size=POINTS // EVERY)
    filling = space_filling(space.distributions(), points, SEED)
    for start in range(0, points, EVERY):
        group = [space.recipe(params) for params in filling[start : start + EVERY]]
        found = [
            Job(number() + place, "search", recipe, study.seed)
            for place, recipe in enumerate(group)
        ]
        jobs += found
        index = start // EVERY
        if repeated[index] < len(found):
            again(found[repeated[index]], 1)
            if index % THIRD == 0:
                again(found[repeated[index]], 2)
        if index == THIRD:
            for job in baselines:
                again(job, 2)
    return jobs
