"""The Optuna study is the only state of the search; this is the only file that knows Optuna's study
and samplers.

A trial is handed out (`Ledger.next`), runs elsewhere, leaves a record in its folder, and is then
told (`Ledger.tell`). A record that was written but not told before a crash is told on the next
start; a trial without a record is handed out again under its number.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState

from mtray.errors import ConfigError
from mtray.report.records import BASE_NUMBER, read_record, result_path
from mtray.schema import Recipe, Role, Study, TrialRecord
from mtray.space import Space
from mtray.trial import Job

JOURNAL = "study.journal"
STARTUP = 6  # space-filling points before the model is asked

SamplerFactory = Callable[[int, int], optuna.samplers.BaseSampler]
SAMPLERS: dict[str, SamplerFactory] = {
    "gp": lambda seed, startup: optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup),
    "tpe": lambda seed, startup: optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=startup, multivariate=True, constant_liar=True
    ),
    "nsga2": lambda seed, startup: optuna.samplers.NSGAIISampler(seed=seed),
    "random": lambda seed, startup: optuna.samplers.RandomSampler(seed=seed),
}


def sampler_named(name: str, seed: int, startup: int = STARTUP) -> optuna.samplers.BaseSampler:
    """An Optuna sampler. Raises ConfigError for a name not in `SAMPLERS`."""
    if name not in SAMPLERS:
        raise ConfigError(f"sampler {name!r} is unknown; known: {', '.join(SAMPLERS)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[name](seed, startup)


def at_quantile(distribution: BaseDistribution, u: float) -> Any:
    """The value at share `u` in [0, 1) of a range, on its own scale."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(u * len(distribution.choices))]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    # a value of a stepped range stands for the step above it, so that the last is as likely as the
    # first
    top = high + (step or 0)
    if distribution.log:
        value = math.exp(math.log(low) + u * (math.log(top) - math.log(low)))
    else:
        value = low + u * (top - low)
    return min(high, low + int((value - low) / step) * step) if step else value


def space_filling(
    distributions: dict[str, BaseDistribution], count: int, seed: int
) -> list[dict[str, Any]]:
    """The first `count` points of a scrambled Sobol sequence over the space."""
    from scipy.stats import qmc

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # balance needs a power of two; a prefix fills the space too
        points = qmc.Sobol(len(distributions), seed=seed).random(count)
    return [
        {
            name: at_quantile(d, float(u))
            for (name, d), u in zip(distributions.items(), row, strict=True)
        }
        for row in points
    ]


def reference_recipes(space: Space, study: Study) -> dict[Role, dict[str, Any]]:
    """Baselines that every sweep runs: parallel text only, and one monolingual example per pair,
    both at the largest size.

    They hold whatever the space fixes or leaves out. What it varies beyond them is set to the
    study's `defaults`, else to the middle of its range.
    """
    distributions = space.distributions()
    params = {
        name: study.defaults.get(name, at_quantile(d, 0.5)) for name, d in distributions.items()
    }
    params |= {"replay_fraction": 0.0, "mono_ratio": 0.0, "frozen_layers": 0}
    params["parallel_size"] = space.largest("parallel_size")
    out: dict[Role, dict[str, Any]] = {"parallel_only": params}
    if any(s.kind == "mono" for s in study.sources):
        out["mono_one_to_one"] = {**params, "mono_ratio": 1.0}
    return out


def nearest(distribution: BaseDistribution, value: Any) -> Any:
    """`value`, or the closest choice where Optuna takes only those."""
    if not isinstance(distribution, CategoricalDistribution) or value in distribution.choices:
        return value
    return min(distribution.choices, key=lambda c: abs(c - value))  # type: ignore[operator,return-value]


def mend(path: Path) -> None:
    """Undo what a process that was killed while writing the journal left: half a line, and Optuna's
    lock.

    Only for who holds the run's lock.
    """
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if path.is_file():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)


class Ledger:
    """Hands out trials and takes their results. One process at a time (the run folder is
    locked)."""

    def __init__(self, run_dir: Path, study: Study, space: Space) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        mend(run_dir / JOURNAL)
        backend = optuna.storages.journal.JournalFileBackend(str(run_dir / JOURNAL))
        directions = ["maximize" if s == "max" else "minimize" for s in study.objectives.values()]
        self._study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend), study_name=study.name,
            load_if_exists=True, directions=directions,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.set_metric_names(list(study.objectives))
        self._run_dir, self._spec, self._space = run_dir, study, space
        self._distributions = space.distributions()
        self._enqueue_start()
        self._take_back()

    def _enqueue_start(self) -> None:
        """Put the first trials in line: all in a new study, what is missing where an earlier
        process was cut off."""
        start = [*reference_recipes(self._space, self._spec).items()]
        points = space_filling(self._distributions, STARTUP, self._spec.seed)
        start += [("search", params) for params in points]
        for role, exact in start[len(self._study.get_trials(deepcopy=False)) :]:
            # a baseline may lie outside the searched range, or set what the space fixes, on purpose
            params = {name: nearest(d, exact[name]) for name, d in self._distributions.items()}
            attributes: dict[str, Any] = {"role": role}
            if params != exact:
                attributes["exact"] = exact
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._study.enqueue_trial(params, user_attrs=attributes)

    def _take_back(self) -> None:
        """What an earlier process left running is told from its record, or waits to be handed out
        under its number.

        A base model that could not be measured is measured again: without it every trial fails.
        """
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if result_path(self._run_dir, trial.number).is_file():
                self.tell(trial.number)
            else:
                self.release(trial.number)
        base = result_path(self._run_dir, BASE_NUMBER)
        if base.is_file() and read_record(base).state != "complete":
            base.unlink()

    def running_numbers(self) -> list[int]:
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [t.number for t in trials]

    @property
    def study(self) -> Study:
        return self._spec

    def end_without_record(self, number: int, stopped: bool) -> None:
        """A trial that left no record: given back when the sweep was stopped, a failure
        otherwise."""
        if stopped and not result_path(self._run_dir, number).is_file():
            self.release(number)
        else:
            self.tell(
                number, "the trial's process ended without a record (killed, or out of memory?)"
            )

    def release(self, number: int) -> None:
        """Give a trial back unfinished; the next start hands it out again with the same number and
        recipe."""
        trial = self._study.get_trials(deepcopy=False)[number]
        if trial.state == TrialState.RUNNING:
            self._study._storage.set_trial_state_values(trial._trial_id, state=TrialState.WAITING)

    @property
    def finished(self) -> int:
        return sum(t.state.is_finished() for t in self._study.get_trials(deepcopy=False))

    @property
    def running(self) -> int:
        return len(self.running_numbers())

    def all_failed(self, at_least: int) -> bool:
        """Whether `at_least` trials have ended and none of them well."""
        states = [t.state for t in self._study.get_trials(deepcopy=False) if t.state.is_finished()]
        return len(states) >= at_least and TrialState.COMPLETE not in states

    def needs_base(self) -> bool:
        return not result_path(self._run_dir, BASE_NUMBER).is_file()

    def next(self, total: int) -> Job | None:
        """The next trial to run, or None when `total` are finished or running."""
        if self.finished + self.running >= total:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trials = self._study.get_trials(deepcopy=False)
            waiting = [t.number for t in trials if t.state == TrialState.WAITING]
            number = min(waiting, default=len(trials))
            # a sampler made anew from (seed, number) gives the same suggestion after a restart as
            # without one
            self._study.sampler = sampler_named(
                self._spec.sampler, self._spec.seed * 10_007 + number
            )
            trial = self._study.ask(self._distributions)
        recipe = self._space.recipe({**trial.params, **trial.user_attrs.get("exact", {})})
        return Job(trial.number, trial.user_attrs.get("role", "search"), recipe, self._spec.seed)

    def tell(
        self, number: int, reason: str = "the trial ended without a record"
    ) -> TrialRecord | None:
        """Tell the study what a trial's record says; a failure is told as one and never as a
        number."""
        if number == BASE_NUMBER:
            return None
        trial = self._study.get_trials(deepcopy=False)[number]
        if trial.state.is_finished():
            return None
        path = result_path(self._run_dir, number)
        record = read_record(path) if path.is_file() else None
        if record is not None and record.state == "complete":
            values = [record.objectives[name].value for name in self._spec.objectives]
            self._study.tell(number, values)
            return record
        storage = self._study._storage
        storage.set_trial_user_attr(trial._trial_id, "reason", record.reason if record else reason)
        self._study.tell(number, state=TrialState.FAIL)
        return record


def base_job(study: Study) -> Job:
    return Job(BASE_NUMBER, "base", Recipe(parallel_size=0), study.seed)
