"""Estimates the duration of a sweep on this machine from a few measured steps and answers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from mtray.data.mixing import plan
from mtray.data.recipe_tables import held_rows, recipe_tables
from mtray.data.store import select, sums_by_recipe, sums_of
from mtray.errors import EvaluationError
from mtray.report.printing import counted, duration_text
from mtray.schema import POOLS, Mix, Recipe, Resources, Study, training_of
from mtray.search.strategy.baseline_recipes import baseline_recipes
from mtray.search.strategy.budget_allocation import BudgetAllocation
from mtray.search.strategy.largest_recipes import counts_tokens, largest_recipes
from mtray.search.strategy.samplers import space_filling
from mtray.search_space.space import Space
from mtray.search_space.unit_cube import at_quantile
from mtray.trial.job import Job, RunOptions
from mtray.trial.run import run_trial

# of a trial beyond training and evaluation; benchmarks/overhead.py measures it
STARTUP_SECONDS = 7.0
STEPS = 6  # of training, measured
REQUESTS = 130  # of the evaluation, about so many are answered and scored
POINTS = 64  # of the space, whose mean size represents the recipes that will be searched


@dataclass(frozen=True)
class Pace:
    """Throughput measured on this machine, with one worker.

    fixed: seconds of a trial beyond training and evaluation.
    tokens_per_second: in training.
    answering: seconds to answer all of the evaluation's requests.
    scoring: seconds to score these answers, in one process.
    """

    fixed: float
    tokens_per_second: float
    answering: float
    scoring: float


@dataclass(frozen=True)
class RungCost:
    """Seconds of a mean searched recipe: `paid` for all its rungs, `saved` by ending at the last
    one, `whole` with its rungs."""

    paid: float
    saved: float
    whole: float

    def line(self) -> str:
        share = self.paid / (self.whole - self.paid)
        cost = f"  rungs: about {self.paid:.1f} s of a searched recipe, {share:.0%} more"
        if self.paid >= self.saved:
            return f"{cost}: they cost more than a trial saves by ending at the last one"
        return (
            f"{cost}; early stopping pays off if it ends more than {self.paid / self.saved:.0%} of "
            "them (docs/search.md: how many it ended in measurements)"
        )


@dataclass(frozen=True)
class Estimate:
    """Seconds of one trial each: the base model, every baseline, and the searched recipes; `rungs`
    with early stopping."""

    base: float
    baselines: tuple[float, ...]
    searched: tuple[float, ...]
    rungs: RungCost | None = None

    def total(self, division: BudgetAllocation, concurrent: int) -> float:
        """Seconds of the whole sweep. Repeats and the confirmation count as a mean searched recipe,
        except for the repeat of the first baseline."""
        again = division.first_again
        late = division.searched + division.repeats - again + division.confirm
        first = self.baselines[0] if again else 0.0
        rest = fmean(self.searched) * late
        return (self.base + sum(self.baselines) + first + rest) / concurrent

    def lines(self, division: BudgetAllocation, concurrent: int, further: int = 0) -> list[str]:
        """Lines of the estimate. `further`: the maximum number of trials beyond the budget."""
        shown = [f"{_seconds([self.base])} for the base model"]
        if self.baselines:
            shown.append(f"{_seconds(self.baselines)} for a baseline")
        shown.append(f"{_seconds(self.searched)} for a searched recipe")
        total = duration_text(self.total(division, concurrent))
        trials = counted(division.trials, "trial")
        at_once = f"{concurrent} at a time" if concurrent > 1 else "one after another"
        out = [
            f"  about {', '.join(shown)}, as measured here",
            f"  about {total} for the base model and {trials}, {at_once}",
        ]
        out += [self.rungs.line()] if self.rungs else []
        if further:
            more = duration_text(further * fmean(self.searched) / concurrent)
            named = counted(further, "further trial")
            out.append(f"  at most about {more} more for {named} that settle the answer")
        return out


def _seconds(found: Sequence[float]) -> str:
    """For example `52 s (41 to 70)`."""
    low, high = f"{min(found):.0f}", f"{max(found):.0f}"
    return f"{fmean(found):.0f} s" + (f" ({low} to {high})" if low != high else "")


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


def measure(study: Study, store: Any, suite: Any, recipe: Recipe) -> Pace:
    """The pace of a trial of `recipe`, from `STEPS` steps and about `REQUESTS` of the evaluation's
    requests, in this process and without DeepSpeed."""
    training = study.training.model_copy(update={"max_steps": STEPS})
    evaluation = study.evaluation.without_further_points()
    few = study.model_copy(update={"training": training, "evaluation": evaluation})
    part = suite.part(min(1.0, REQUESTS / len(suite.requests)))
    share = len(part.requests) / len(suite.requests)
    start = time.perf_counter()
    with threads_of(study.resources):
        job = Job(0, "search", recipe, study.seed)
        outcome = run_trial(job, few, store, part.requests, RunOptions("torch"))
        spent = time.perf_counter() - start
        scoring = _scoring(study, part, outcome.outputs)
    assert outcome.training is not None
    generation = outcome.seconds["generation"]
    fixed = STARTUP_SECONDS + spent - outcome.seconds["training"] - generation
    speed = outcome.training.tokens_per_second
    return Pace(fixed, speed, generation / share, scoring / share)


def _scoring(study: Study, part: Any, outputs: Sequence[Any]) -> float:
    """Seconds of scoring, without what is loaded once per process."""
    warm = part.part(0.0)
    for suite, found in ((warm, part.outputs_of(warm, outputs)), (part, outputs)):
        start = time.perf_counter()
        with suppress(EvaluationError):  # a few steps may have destroyed every measured ability
            suite.score(found, None, study.evaluation.bootstrap, study.seed)
    return time.perf_counter() - start


def trained_seconds(pace: Pace, study: Study, mix: Mix, recipe: Recipe) -> float:
    """Seconds of a trial that trains on this mix by the recipe's settings."""
    training, workers = training_of(recipe, study.training), study.resources.workers
    tokens: float = mix.tokens * training.epochs
    if training.max_steps is not None and training.batch_tokens is not None:
        tokens = min(tokens, training.max_steps * training.batch_tokens)
    elif training.max_steps is not None:
        examples = min(mix.examples * training.epochs, training.max_steps * training.batch_examples)
        tokens = examples * mix.tokens / max(1, mix.examples)
    evaluations = 1.0 + study.evaluation.further_points + _rung_evaluations(study)
    training_seconds = recipe.stop_after * tokens / (pace.tokens_per_second * workers)
    return training_seconds + pace.fixed + evaluations * _evaluation(pace, workers)


def _rung_evaluations(study: Study) -> float:
    """What the rungs of a trial amount to, in evaluations of all segments."""
    rule = study.early_stopping
    return len(rule.rungs) * rule.segments if rule else 0.0


def rung_cost(pace: Pace, study: Study, whole: float) -> RungCost | None:
    """That of recipes that take `whole` seconds on average; None without early stopping."""
    if study.early_stopping is None:
        return None
    evaluation = _evaluation(pace, study.resources.workers)
    paid = _rung_evaluations(study) * evaluation
    after = (1.0 + study.evaluation.further_points) * evaluation
    training = whole - pace.fixed - paid - after
    return RungCost(paid, (1 - study.early_stopping.rungs[-1]) * training + after, whole)


def _evaluation(pace: Pace, workers: int) -> float:
    return pace.answering / workers + pace.scoring


def estimated(pace: Pace, study: Study, space: Space, store: Any) -> Estimate:
    """Estimates for every baseline at its own size and for recipes that fill the space."""
    held = held_rows(store, space.values("max_length"))
    sums = sums_by_recipe(study, store)
    baselines = baseline_recipes(space, study, held, sums).values()
    points = space_filling(space.distributions(), POINTS, study.seed)
    base = pace.fixed + _evaluation(pace, study.resources.workers)

    def seconds(params: dict[str, Any]) -> float:
        recipe = space.recipe(params)
        return trained_seconds(pace, study, mix_of(recipe, study, store), recipe)

    searched = tuple(map(seconds, points))
    rungs = rung_cost(pace, study, fmean(searched))
    return Estimate(base, tuple(map(seconds, baselines)), searched, rungs)


def mix_of(recipe: Recipe, study: Study, store: Any) -> Mix:
    tables = recipe_tables(recipe, store, study)
    parts = plan(recipe, study.sources, sums_of(study, tables))
    return select(tables, parts, study.training.allow_repeats)[1]


def estimate_lines(
    prepared: Any,
    division: BudgetAllocation,
    concurrent: int,
    say: Callable[[str], None],
    further: int = 0,
) -> list[str]:
    """Examples of a median and of the largest recipes, and the duration of a sweep, measured with a
    few steps on this machine; `say` reports that before it starts. `further`: the maximum number of
    trials beyond the budget."""
    study, space, store = prepared.study, prepared.space, prepared.store
    middle = space.recipe({n: at_quantile(d, 0.5) for n, d in space.distributions().items()})
    named = [
        ("middle", middle),
        *(("largest", recipe) for recipe in largest_recipes(space, counts_tokens(study))),
    ]
    lines = [f"  {label} recipe: {_sizes(mix_of(r, study, store))}" for label, r in named]
    say(
        f"measuring the time of {STEPS} steps and about {REQUESTS} requests on this machine "
        "(seconds with a small model, minutes with a large one) ..."
    )
    pace = measure(study, store, prepared.suite, middle)
    found = estimated(pace, study, space, store)
    speed = f"  training: {pace.tokens_per_second:,.0f} tokens/s with one worker here"
    return [*dict.fromkeys(lines), speed, *found.lines(division, concurrent, further)]


def _sizes(mix: Mix) -> str:
    sizes = Counter[str]()
    for share in mix.shares:
        sizes[POOLS.get(share.kind, share.kind)] += share.realised
    return ", ".join(f"{v:,} {k}" for k, v in sizes.items()) + " examples"
