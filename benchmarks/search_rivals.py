"""Alternatives to mtray as policies of the search benchmark, and all policies by name."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from search_botorch import Botorch
from search_given import Given
from search_policy import Mtray, Policy
from search_tables import Array, Params, Problem

from mtray.search_space.unit_cube import at_quantile


class Optuna(Policy):
    """A sampler of Optuna, asked and told as its documentation shows, after the problem's
    baselines."""

    def __init__(self, problem: Problem, sampler: optuna.samplers.BaseSampler) -> None:
        directions = ["maximize" if s == "max" else "minimize" for s in problem.senses]
        self._study = optuna.create_study(directions=directions, sampler=sampler)
        for params in problem.references:
            self._study.enqueue_trial(params)
        self._distributions = problem.distributions
        self._trials: dict[int, optuna.Trial] = {}
        self._rows: dict[int, Params] = {}

    def ask(self, number: int) -> Params:
        self._trials[number] = self._study.ask(self._distributions)
        return dict(self._trials[number].params)

    def ran(self, number: int, params: Params) -> None:
        self._rows[number] = params

    def tell(self, number: int, values: Array, complete: bool, cost: float) -> None:
        asked = self._trials[number].number
        tell_optuna(self._study, asked, values, self._rows.get(number))


def tell_optuna(study: optuna.Study, asked: int, values: Array, row: Params | None) -> None:
    """How the trial with the number `asked` ended; `row`: with these parameters in place of those
    that were asked for, which Optuna takes as another trial (with the sampler's notes, such as
    NSGA-II's generation)."""
    told = [float(v) for v in values]
    if row is None:
        study.tell(asked, told, TrialState.COMPLETE)
        return
    study.tell(asked, state=TrialState.FAIL)
    trial = study.get_trials(deepcopy=False)[asked]
    study.add_trial(optuna.trial.create_trial(
        state=TrialState.COMPLETE, values=told, params=row, distributions=trial.distributions,
        system_attrs=trial.system_attrs,
    ))  # fmt: skip


class RayOptuna(Policy):
    """Ray's OptunaSearch with its defaults and two metrics; with `asha` under Ray's
    ASHAScheduler, which takes one metric (the first) and lets a stopped trial count as finished."""

    def __init__(self, problem: Problem, seed: int, asha: bool = True) -> None:
        from ray.tune.schedulers import ASHAScheduler
        from ray.tune.search.optuna import OptunaSearch

        self._names, senses = list(problem.objectives), list(problem.senses)
        # the sampler and the storage that it would make itself, so that its study can be told rows
        sampler = optuna.samplers.TPESampler(seed=seed)
        storage = optuna.storages.InMemoryStorage()
        self._search = OptunaSearch(
            problem.distributions, metric=self._names, mode=senses, sampler=sampler,
            storage=storage, study_name="ray",
            points_to_evaluate=[dict(params) for params in problem.references],
        )  # fmt: skip
        self._study = optuna.load_study(study_name="ray", storage=storage, sampler=sampler)
        self.watches = self.claims_partial = asha
        self._times = [s / problem.shares[0] for s in problem.shares]
        self._scheduler = ASHAScheduler(
            metric=self._names[0], mode=senses[0], max_t=self._times[-1]
        )
        self._asked: dict[int, int] = {}
        self._rows: dict[int, Params] = {}

    def ask(self, number: int) -> Params:
        before = self._running()
        found = dict(self._search.suggest(str(number)))
        (self._asked[number],) = self._running() - before
        self._scheduler.on_trial_add(None, SimpleNamespace(trial_id=str(number)))
        return found

    def _running(self) -> set[int]:
        """Numbers of its study's running trials."""
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return {t.number for t in trials}

    def ran(self, number: int, params: Params) -> None:
        self._rows[number] = params

    def report(self, number: int, fidelity: int, values: Array) -> bool:
        trial = SimpleNamespace(trial_id=str(number))
        result = {self._names[0]: float(values[0]), "training_iteration": self._times[fidelity]}
        return bool(self._scheduler.on_trial_result(None, trial, result) == "CONTINUE")

    def tell(self, number: int, values: Array, complete: bool, cost: float) -> None:
        if number in self._rows:  # its own `add_evaluated_point` takes one objective
            tell_optuna(self._study, self._asked[number], values, self._rows[number])
            return
        result = dict(zip(self._names, map(float, values), strict=True))
        self._search.on_trial_complete(str(number), result)


class Moasha(Policy):
    """Syne Tune's MOASHA with its defaults, after the problem's baselines. Only its finished trials
    count."""

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
        self._first = problem.references
        self._trials: dict[int, Any] = {}

    def ask(self, number: int) -> Params:
        from syne_tune.backend.trial_status import Trial

        config = dict(
            self._first[number] if number < len(self._first) else self._search.suggest().config
        )
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


def given(make: PolicyFactory, guess: bool) -> PolicyFactory:
    """The engine with the help of `Given`."""
    return lambda problem, seed: Given(problem, lambda own: make(own, seed), guess)


OURS, GUESSING = "mtray", ", guess"
SAMPLERS = optuna.samplers
ENGINES: dict[str, PolicyFactory] = {
    "optuna GP": lambda problem, seed: Optuna(problem, SAMPLERS.GPSampler(seed=seed)),
    "BoTorch qLogNEHVI": Botorch,
    "optuna TPE": lambda problem, seed: Optuna(problem, SAMPLERS.TPESampler(seed=seed)),
    "optuna NSGA-II": lambda problem, seed: Optuna(problem, SAMPLERS.NSGAIISampler(seed=seed)),
    "ray OptunaSearch+ASHA": RayOptuna,
    "syne-tune MOASHA": Moasha,
    "random": lambda problem, seed: Optuna(problem, SAMPLERS.RandomSampler(seed=seed)),
}
# all of them begin with the problem's baselines
POLICIES: dict[str, PolicyFactory] = {
    OURS: lambda problem, seed: Mtray(replace(problem, guesses={}), seed),
    **{name: given(make, guess=False) for name, make in ENGINES.items()},
    f"{OURS}{GUESSING}": Mtray,
    **{f"{name}{GUESSING}": given(make, guess=True) for name, make in ENGINES.items()},
}
# our own search with parts of it changed, for finding out what they are worth, and BoTorch with
# our cost and guess
VARIANTS: dict[str, PolicyFactory] = {
    "BoTorch, cost and guess as ours": lambda problem, seed: Botorch(problem, seed, as_ours=True),
    "mtray with rungs": lambda problem, seed: Mtray(problem, seed, stopping=True),
    "mtray gp": lambda problem, seed: Mtray(problem, seed, "gp"),
    "mtray tpe": lambda problem, seed: Mtray(problem, seed, "tpe"),
    "mtray 2 at the start": lambda problem, seed: Mtray(problem, seed, startup=2),
    "mtray none at the start": lambda problem, seed: Mtray(problem, seed, startup=0),
    "mtray guess too low": lambda problem, seed: Mtray(guessing(problem, 0.25), seed),
    "mtray guess too high": lambda problem, seed: Mtray(guessing(problem, 0.75), seed),
    "mtray without baselines": lambda problem, seed: Mtray(replace(problem, references=()), seed),
    "mtray with neither": lambda problem, seed: Mtray(
        replace(problem, guesses={}, references=()), seed
    ),
}
OWN_VARIANTS = frozenset(name for name in VARIANTS if name.startswith(OURS))


def guessing(problem: Problem, u: float) -> Problem:
    """The problem with its guesses moved to share `u` of their ranges."""
    moved = {name: at_quantile(problem.distributions[name], u) for name in problem.guesses}
    return replace(problem, guesses=moved)


def missing() -> dict[str, str]:
    """Policies that cannot run here, and why."""
    absent: dict[str, str] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module, package, start in (
            ("syne_tune.optimizer.schedulers.multiobjective.moasha", "syne-tune", "syne-tune"),
            ("botorch.models", "botorch", "BoTorch"),
        ):
            try:
                importlib.import_module(module)
            except ImportError:
                why = f"the package {package} is not installed, or does not import"
                absent |= {n: why for n in (*POLICIES, *VARIANTS) if n.startswith(start)}
    return absent


def quiet() -> None:
    """No experimental warnings, no line for every trial."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray").setLevel(logging.ERROR)
