"""The policies that the search benchmark compares, behind one small interface.

`ask` for the next point, knowing what was told by then; `report` a value on a trial's way and hear
whether it goes on; `tell` how it ended. `watches` says whether a policy wants values on the way at
all: one that does not runs its trials at the highest fidelity without paying for rungs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from search_tables import Array, Params, Problem

from mtray.schema import EarlyStopping, Estimate
from mtray.search.cost_aware import Told, Where
from mtray.search.rungs import Point, decide, expected_values
from mtray.search.samplers import STARTUP, at_quantile, space_filling
from mtray.search.suggest import Suggester


class Policy:
    """Interface. `claims_partial`: what was stopped counts as a result, as Ray's OptunaSearch
    has it."""

    watches = False
    claims_partial = False

    def ask(self, number: int) -> Params:
        raise NotImplementedError

    def report(self, number: int, fidelity: int, values: Array) -> bool:
        return True

    def tell(self, number: int, values: Array, complete: bool, cost: float) -> None:
        """`values` of the highest fidelity, or of the one at which the trial was stopped; `cost` in
        the problem's unit."""


class Mtray(Policy):
    """mtray's search: the problem's baselines, a space-filling start, and its `Suggester`, with the
    problem's guesses. With `stopping` its early stopping too, where there are two rungs or more,
    which are paid for.

    Unlike in a sweep the suggestion knows everything that ended before it is asked for, and nothing
    is trained again with another seed.
    """

    def __init__(
        self, problem: Problem, seed: int, sampler: str = "auto", startup: int = STARTUP,
        stopping: bool = False,
    ) -> None:  # fmt: skip
        self._problem = problem
        where = Where(problem.distributions, problem.guesses)
        self._suggester = Suggester(where, problem.senses, sampler, seed, startup)
        self._start = [
            *problem.references, *space_filling(problem.distributions, startup, seed)
        ]  # fmt: skip
        rungs = problem.shares[:-1]
        self._rule = EarlyStopping(rungs=rungs) if stopping and len(rungs) > 1 else None
        self.watches = self._rule is not None
        self._params: dict[int, Params] = {}
        self._rungs: dict[int, list[SimpleNamespace]] = {}  # as a TrialRecord holds them
        self._ended: list[SimpleNamespace] = []  # what a TrialRecord says of complete trials

    def ask(self, number: int) -> Params:
        params, notes = (
            (self._start[number], {}) if number < len(self._start)
            else self._suggester.suggest(number)
        )  # fmt: skip
        self._params[number] = params
        self._suggester.add(number, params, attributes=notes)
        return params

    def _estimates(self, values: Array, fidelity: int) -> dict[str, Estimate]:
        errors = self._problem.errors[fidelity]
        return {
            name: Estimate(value=float(v), error=float(e))
            for name, v, e in zip(self._problem.objectives, values, errors, strict=True)
        }

    def report(self, number: int, fidelity: int, values: Array) -> bool:
        assert self._rule is not None
        mine = Point(number, self._estimates(values, fidelity))
        others = [
            Point(n, rungs[fidelity].objectives)
            for n, rungs in self._rungs.items()
            if len(rungs) > fidelity
        ]
        found = decide(self._rule, fidelity, mine, others, self._problem.objectives)
        rung = SimpleNamespace(
            rung=fidelity, objectives=mine.objectives, dominated_by=found.dominated_by
        )
        self._rungs.setdefault(number, []).append(rung)
        return not found.stop

    def tell(self, number: int, values: Array, complete: bool, cost: float) -> None:
        record = SimpleNamespace(
            number=number, rungs=self._rungs.get(number, []),
            state="complete" if complete else "pruned",
        )  # fmt: skip
        if complete:
            record.objectives = self._estimates(values, len(self._problem.shares) - 1)
            self._ended.append(record)
            found = Told([float(v) for v in values], cost)
            self._suggester.add(number, self._params[number], found)
            return
        # `expected_values` reads nothing of a record but what these hold
        guess = expected_values(record, self._ended, self._problem.objectives)  # type: ignore[arg-type]
        if guess is None:
            self._suggester.drop(number)
        else:
            self._suggester.add(number, self._params[number], Told(list(guess.values())))


class Optuna(Policy):
    """A sampler of Optuna, asked and told as its documentation shows, after the points of
    `first`."""

    def __init__(
        self, problem: Problem, sampler: optuna.samplers.BaseSampler, first: Sequence[Params] = ()
    ) -> None:
        directions = ["maximize" if s == "max" else "minimize" for s in problem.senses]
        self._study = optuna.create_study(directions=directions, sampler=sampler)
        for params in first:
            self._study.enqueue_trial(params)
        self._distributions = problem.distributions
        self._trials: dict[int, optuna.Trial] = {}

    def ask(self, number: int) -> Params:
        self._trials[number] = self._study.ask(self._distributions)
        return dict(self._trials[number].params)

    def tell(self, number: int, values: Array, complete: bool, cost: float) -> None:
        self._study.tell(self._trials[number], [float(v) for v in values], TrialState.COMPLETE)


class RayOptuna(Policy):
    """Ray's OptunaSearch with its defaults and two metrics; with `asha` under Ray's
    ASHAScheduler, which takes one metric (the first) and lets a stopped trial count as finished."""

    def __init__(self, problem: Problem, seed: int, asha: bool = False) -> None:
        from ray.tune.schedulers.async_hyperband import _Bracket
        from ray.tune.search.optuna import OptunaSearch

        self._names, senses = list(problem.objectives), list(problem.senses)
        self._search = OptunaSearch(
            problem.distributions, metric=self._names, mode=senses, seed=seed
        )
        self._sign = 1 if senses[0] == "max" else -1
        self.watches = self.claims_partial = asha
        self._times = [s / problem.shares[0] for s in problem.shares]
        # ASHAScheduler's defaults: a grace period of one report, a reduction factor of 4
        self._bracket = _Bracket(1, self._times[-1], 4, 0)

    def ask(self, number: int) -> Params:
        return dict(self._search.suggest(str(number)))

    def report(self, number: int, fidelity: int, values: Array) -> bool:
        trial = SimpleNamespace(trial_id=str(number))
        value = self._sign * float(values[0])
        return bool(self._bracket.on_result(trial, self._times[fidelity], value) == "CONTINUE")

    def tell(self, number: int, values: Array, complete: bool, cost: float) -> None:
        result = dict(zip(self._names, map(float, values), strict=True))
        self._search.on_trial_complete(str(number), result)


class Moasha(Policy):
    """Syne Tune's MOASHA with its defaults. Only its finished trials count."""

    watches = True

    def __init__(self, problem: Problem, seed: int) -> None:
        from syne_tune import config_space as cs
        from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

        def domain(d: Any) -> Any:
            if isinstance(d, CategoricalDistribution):
                return cs.choice(list(d.choices))
            assert isinstance(d, FloatDistribution | IntDistribution)
            if isinstance(d, IntDistribution):
                return (cs.lograndint if d.log else cs.randint)(d.low, d.high)
            return (cs.loguniform if d.log else cs.uniform)(d.low, d.high)

        np.random.seed(seed)  # MOASHA samples from NumPy's global state
        self._names = list(problem.objectives)
        self._signs = [1 if s == "min" else -1 for s in problem.senses]
        self._times = [max(1, round(s / problem.shares[0])) for s in problem.shares]
        space = {name: domain(d) for name, d in problem.distributions.items()}
        self._search = MOASHA(space, self._names, max_t=self._times[-1], random_seed=seed)
        self._trials: dict[int, Any] = {}

    def ask(self, number: int) -> Params:
        from syne_tune.backend.trial_status import Trial

        config = dict(self._search.suggest().config)
        self._trials[number] = Trial(number, config, datetime.now())
        self._search.on_trial_add(self._trials[number])
        return config

    def _result(self, fidelity: int, values: Array) -> dict[str, float]:
        found = {n: s * float(v) for n, s, v in zip(self._names, self._signs, values, strict=True)}
        return {**found, "training_iteration": self._times[fidelity]}

    def report(self, number: int, fidelity: int, values: Array) -> bool:
        decision = self._search.on_trial_result(
            self._trials[number], self._result(fidelity, values)
        )
        return bool(decision == "CONTINUE")

    def tell(self, number: int, values: Array, complete: bool, cost: float) -> None:
        if complete:
            self._search.on_trial_complete(self._trials[number], self._result(-1, values))
        else:
            self._search.on_trial_remove(self._trials[number])


PolicyFactory = Callable[[Problem, int], Policy]
OURS = "mtray"
SAMPLERS = optuna.samplers
POLICIES: dict[str, PolicyFactory] = {
    OURS: Mtray,
    "ray OptunaSearch": RayOptuna,
    "ray OptunaSearch+ASHA": lambda problem, seed: RayOptuna(problem, seed, asha=True),
    "optuna GP": lambda problem, seed: Optuna(problem, SAMPLERS.GPSampler(seed=seed)),
    "optuna TPE": lambda problem, seed: Optuna(problem, SAMPLERS.TPESampler(seed=seed)),
    "optuna NSGA-II": lambda problem, seed: Optuna(problem, SAMPLERS.NSGAIISampler(seed=seed)),
    "syne-tune MOASHA": Moasha,
    "random": lambda problem, seed: Optuna(problem, SAMPLERS.RandomSampler(seed=seed)),
}
# our own search with parts of it changed, for finding out what they are worth
VARIANTS: dict[str, PolicyFactory] = {
    "mtray with rungs": lambda problem, seed: Mtray(problem, seed, stopping=True),
    "mtray gp": lambda problem, seed: Mtray(problem, seed, "gp"),
    "mtray tpe": lambda problem, seed: Mtray(problem, seed, "tpe"),
    "mtray 8 at the start": lambda problem, seed: Mtray(problem, seed, startup=8),
    "mtray without guess": lambda problem, seed: Mtray(replace(problem, guesses={}), seed),
    "mtray guess too low": lambda problem, seed: Mtray(guessing(problem, 0.25), seed),
    "mtray guess too high": lambda problem, seed: Mtray(guessing(problem, 0.75), seed),
    "mtray without baselines": lambda problem, seed: Mtray(replace(problem, references=()), seed),
    "mtray with neither": lambda problem, seed: Mtray(
        replace(problem, guesses={}, references=()), seed
    ),
    "optuna GP after the baselines": lambda problem, seed: Optuna(
        problem, SAMPLERS.GPSampler(seed=seed), problem.references
    ),
}


def guessing(problem: Problem, u: float) -> Problem:
    """The problem with its guesses moved to share `u` of their ranges."""
    moved = {name: at_quantile(problem.distributions[name], u) for name in problem.guesses}
    return replace(problem, guesses=moved)


def missing() -> dict[str, str]:
    """Policies that cannot run here, and why."""
    out: dict[str, str] = {}
    with warnings.catch_warnings(), contextlib.suppress(ImportError):
        warnings.simplefilter("ignore")
        if importlib.util.find_spec("syne_tune"):
            import syne_tune.optimizer.schedulers.multiobjective.moasha  # noqa: F401

            return out
    out["syne-tune MOASHA"] = "the package syne-tune is not installed, or does not import"
    return out


def quiet() -> None:
    """No experimental warnings, no line for every trial."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray").setLevel(logging.ERROR)
