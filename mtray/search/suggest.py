"""What to try next, from what is known so far. Knows no file, no Ray and no clock, so a benchmark
can drive it with a tabulated objective.

Optuna's samplers work on a study. This one is a mirror in memory: asking it leaves no trace in the
run's journal, so a suggestion can be worked out ahead, while trials run, and be thrown away.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import RLock
from typing import Any

import optuna
from optuna.trial import TrialState

from mtray.schema import Sense
from mtray.search.cost_aware import FEWEST, Known, Told, Where, suggest
from mtray.search.samplers import (
    EHVI,
    SOBOL,
    STARTUP,
    at_size,
    check_sampler,
    holds,
    sampler_for,
    space_filling,
)

Params = dict[str, Any]
ATTEMPTS = 64  # at a suggestion that is allowed


class Suggester:
    """Points told so far and the sampler's next one. All methods may be called from several
    threads."""

    def __init__(
        self,
        where: Where,
        senses: Sequence[Sense],
        sampler: str = "auto",
        seed: int = 1,
        startup: int = STARTUP,
    ) -> None:
        check_sampler(sampler)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._where, self._distributions = where, dict(where.distributions)
        self._signs = [1.0 if s == "max" else -1.0 for s in senses]
        self._sampler, self._seed, self._startup = sampler, seed, startup
        directions = ["maximize" if s == "max" else "minimize" for s in senses]
        self._study = optuna.create_study(directions=directions)
        # every point has all parameters, so the space that samplers gather from all points anew for
        # each suggestion, which takes most of the time from a thousand on, is known
        self._varied = {n: d for n, d in sorted(self._distributions.items()) if not d.single()}
        self._ids: dict[int, int] = {}
        self._points: dict[int, tuple[Params, Told | None]] = {}
        self._lock = RLock()

    @property
    def finished(self) -> int:
        """Points with values."""
        return sum(told is not None for _, told in self._points.values())

    def add(
        self,
        number: int,
        params: Mapping[str, Any],
        told: Told | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """A point under its number, pending while nothing is `told` of it. `attributes` are what
        `suggest` gave beside it. Of a point outside the ranges (a baseline may be) Optuna's
        samplers hear nothing: they cannot place it."""
        with self._lock:
            if params.keys() != self._distributions.keys():
                return
            self._points[number] = dict(params), told
            if number not in self._ids:
                if not self._holds(params):
                    return
                self._ids[number] = self._create(params, attributes or {})
            if told is not None:
                self._finish(self._ids[number], told)

    def _holds(self, params: Mapping[str, Any]) -> bool:
        return all(holds(d, params[name]) for name, d in self._distributions.items())

    def _create(self, params: Mapping[str, Any], attributes: Mapping[str, Any]) -> int:
        template = optuna.trial.create_trial(
            state=TrialState.WAITING, params=dict(params), distributions=self._distributions,
            system_attrs=dict(attributes),
        )  # fmt: skip
        storage = self._study._storage
        trial_id: int = storage.create_new_trial(self._study._study_id, template_trial=template)
        storage.set_trial_state_values(trial_id, state=TrialState.RUNNING)
        return trial_id

    def _finish(self, trial_id: int, told: Told) -> None:
        for name, over in told.over.items():
            optuna.trial.Trial(self._study, trial_id).set_constraint(name, over)
        values = list(told.values)
        self._study._storage.set_trial_state_values(trial_id, TrialState.COMPLETE, values)

    def drop(self, number: int) -> None:
        """A pending point will have no values: it failed, was stopped, or was given back. Nothing
        happens for a point that is not known."""
        with self._lock:
            self._points.pop(number, None)
            if number in self._ids:
                trial_id = self._ids.pop(number)
                self._study._storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def suggest(self, number: int) -> tuple[Params, dict[str, Any]]:
        """The point to try under `number` and the sampler's notes on it. Depends on nothing but the
        points, the seed and `number`, so a restart suggests the same."""
        name = at_size(self._sampler, self.finished)
        if name == EHVI and self.finished >= FEWEST:
            with self._lock:
                known = self._known()
            return suggest(self._where, known, self._seed * 10_007 + number), {}
        if name in (SOBOL, EHVI):
            return self._space_filling(number), {}
        for again in range(ATTEMPTS):
            params, notes = self._ask_optuna(name, number + again * 1_000_003)
            if self._allowed(params):
                return params, notes
        return self._space_filling(number), {}

    def _known(self) -> Known:
        points = [self._points[number] for number in sorted(self._points)]
        ended = [(params, told) for params, told in points if told is not None]
        return Known(ended, [params for params, told in points if told is None], self._signs)

    def _allowed(self, params: Params) -> bool:
        return self._where.allowed is None or self._where.allowed(params)

    def _space_filling(self, number: int) -> Params:
        """The point of the Sobol sequence under `number`, or the next that is allowed."""
        found = space_filling(self._distributions, ATTEMPTS, self._seed, skip=number)
        return next(filter(self._allowed, found), found[0])

    def _ask_optuna(self, name: str, number: int) -> tuple[Params, dict[str, Any]]:
        with self._lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sampler = sampler_for(name, self._seed, number, self._startup)
            if self._varied and not isinstance(sampler, optuna.samplers.RandomSampler):
                sampler.infer_relative_search_space = lambda study, trial: self._varied
            self._study.sampler = sampler
            trial = self._study.ask(self._distributions)
            notes = dict(self._study._storage.get_trial_system_attrs(trial._trial_id))
            params = dict(trial.params)
            # only asked: as a running trial it would push later points away
            self._study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            return params, notes


class Ahead:
    """Works the next suggestion out in a thread while trials run.

    `refresh` after every event; the newest suggestion that is done is handed out by `take`, and may
    not know what happened since it was begun: that is the price for no worker waiting.
    """

    def __init__(self, suggester: Suggester) -> None:
        self._suggester = suggester
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="suggest")
        self._running: Future[tuple[int, tuple[Params, dict[str, Any]]]] | None = None
        self._ready: tuple[int, tuple[Params, dict[str, Any]]] | None = None
        self._again: int | None = None

    def refresh(self, number: int) -> None:
        """Begin to work out the point for `number`, from what is known now."""
        self._collect()
        if self._running is None:
            self._begin(number)
        else:
            self._again = number

    def take(self, number: int, wait: bool = False) -> tuple[Params, dict[str, Any]] | None:
        """The suggestion for `number`, or None while it is being worked out, unless `wait`. Raises
        what the sampler raised."""
        while True:
            self._collect()
            if self._ready is not None and self._ready[0] == number:
                found, self._ready = self._ready[1], None
                return found
            if self._running is None:
                self._begin(number)
            if not wait:
                return None
            if self._running is not None:
                self._running.exception()  # waits; what it raised comes with the next turn

    def _begin(self, number: int) -> None:
        self._again = None
        self._running = self._pool.submit(lambda: (number, self._suggester.suggest(number)))

    def _collect(self) -> None:
        """Keep what was worked out, and begin anew where something happened meanwhile."""
        if self._running is not None and self._running.done():
            done, self._running = self._running, None
            self._ready = done.result()
            if self._again is not None:
                self._begin(self._again)
