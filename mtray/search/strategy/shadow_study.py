"""An in-memory study from which Optuna's samplers suggest points. It leaves no trace in the run's
journal, so a suggestion can be computed ahead, while trials run, and be discarded."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from mtray.compat.optuna import set_constraints
from mtray.schema import Sense
from mtray.search.strategy.cost_aware import Observation
from mtray.search.strategy.samplers import KnownSpace
from mtray.search_space.parameters import holds, within
from mtray.search_space.shares import ShareDistribution
from mtray.search_space.unit_cube import at_quantile, divided, unit_of

Params = dict[str, Any]
FINE = 100  # number of integers from which a range is treated as continuous
# number, parameters, observation (None: pending), the sampler's notes
TrackedPoint = tuple[int, Params, Observation | None, Mapping[str, Any]]


class ShadowStudy:
    """Points that lie within `distributions`, as trials of a study."""

    def __init__(
        self,
        distributions: Mapping[str, BaseDistribution],
        senses: Sequence[Sense],
        points: Iterable[TrackedPoint] = (),
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._exact = dict(distributions)
        self._distributions = {n: smooth(d) for n, d in distributions.items()}
        self._varied = {n: d for n, d in sorted(self._distributions.items()) if not d.single()}
        directions = ["maximize" if s == "max" else "minimize" for s in senses]
        self._storage = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(storage=self._storage, directions=directions)
        self._study_id = self._storage.get_study_id_from_name(self._study.study_name)
        self._ids: dict[int, int] = {}
        for point in points:
            self.add(*point)

    def add(
        self, number: int, params: Params, observation: Observation | None, notes: Mapping[str, Any]
    ) -> None:
        """Add a point, or the observation of a pending one. Points outside the ranges (baselines
        may be) are ignored: samplers cannot represent them."""
        if number not in self._ids:
            if not all(holds(d, params[name]) for name, d in self._exact.items()):
                return
            exact = {name: within(d, params[name]) for name, d in self._exact.items()}
            self._ids[number] = self._create(self._inside(exact), notes)
        if observation is not None:
            self._finish(self._ids[number], observation)

    def _create(self, params: Params, notes: Mapping[str, Any]) -> int:
        template = optuna.trial.create_trial(
            state=TrialState.WAITING,
            params=params,
            distributions=self._distributions,
            system_attrs=dict(notes),
        )
        trial_id: int = self._storage.create_new_trial(self._study_id, template_trial=template)
        self._storage.set_trial_state_values(trial_id, state=TrialState.RUNNING)
        return trial_id

    def _finish(self, trial_id: int, observation: Observation) -> None:
        set_constraints(self._study, trial_id, observation.over)
        values = list(observation.values)
        self._storage.set_trial_state_values(trial_id, TrialState.COMPLETE, values)

    def _inside(self, params: Params) -> Params:
        """The point with integers of a continuous range moved to the middle of their unit
        interval, and with the coordinates of shares: uniform ones give uniform shares."""
        fine, shares = self._fine(), self._shares()
        found = {n: v + 0.5 if n in fine else v for n, v in params.items()}
        return found | {n: unit_of(d, params[n]) for n, d in shares.items()}

    def _outside(self, params: Params) -> Params:
        fine, shares = self._fine(), self._shares()
        found = {n: min(int(v), fine[n].high) if n in fine else v for n, v in params.items()}
        found |= {n: at_quantile(d, params[n]) for n, d in shares.items()}
        return divided(self._exact, found)

    def _shares(self) -> dict[str, ShareDistribution]:
        return {n: d for n, d in self._exact.items() if isinstance(d, ShareDistribution)}

    def _fine(self) -> dict[str, IntDistribution]:
        return {
            n: d
            for n, d in self._exact.items()
            if isinstance(d, IntDistribution) and d is not self._distributions[n]
        }

    def drop(self, number: int) -> None:
        """Mark a pending point as failed: it will have no values."""
        if number in self._ids:
            self._fail(self._ids.pop(number))

    def _fail(self, trial_id: int) -> None:
        self._storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def ask(self, sampler: optuna.samplers.BaseSampler) -> tuple[Params, dict[str, Any]]:
        """The suggestion of a sampler, and its notes."""
        if self._varied and not isinstance(sampler, optuna.samplers.RandomSampler):
            sampler = KnownSpace(sampler, self._varied)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study.sampler = sampler
            trial = self._study.ask(self._distributions)
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(
                self._study_id, trial.number
            )
            notes = dict(self._storage.get_trial_system_attrs(trial_id))
            params = self._outside(dict(trial.params))
            # never trained: as a running trial it would repel later points
            self._fail(trial_id)
        return params, notes


def smooth(d: BaseDistribution) -> BaseDistribution:
    """A range of many integers as a continuous one whose values are rounded down: TPE's densities
    of integers take several times as long. A share as its coordinate."""
    if isinstance(d, ShareDistribution):
        return FloatDistribution(0.0, 1.0)
    if isinstance(d, IntDistribution) and d.step == 1 and d.high - d.low >= FINE:
        return FloatDistribution(d.low, d.high + 1, log=d.log)
    return d
