"""Suggests the next point from the observations so far. Uses no files, no Ray and no clock, so a
benchmark can drive it with a tabulated objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import RLock
from typing import Any

from mtray.schema import Sense
from mtray.search.strategy.cost_aware import (
    FEWEST,
    Observation,
    Observations,
    SearchDomain,
    suggest,
)
from mtray.search.strategy.samplers import (
    AUTO,
    EHVI,
    SOBOL,
    STARTUP,
    check_sampler,
    sampler_for,
)
from mtray.search.strategy.shadow_study import ShadowStudy, TrackedPoint
from mtray.search.strategy.space_filling import SpaceFillingPoints

Params = dict[str, Any]
ATTEMPTS = 64  # tries to get an allowed suggestion


class Suggester:
    """The observed points and the sampler's next one. All methods are thread-safe."""

    def __init__(
        self,
        where: SearchDomain,
        senses: Sequence[Sense],
        sampler: str = "auto",
        seed: int = 1,
        startup: int = STARTUP,
    ) -> None:
        check_sampler(sampler)
        self._where, self._distributions = where, dict(where.distributions)
        self._senses = list(senses)
        self._sampler, self._seed, self._startup = sampler, seed, startup
        self._points: dict[int, TrackedPoint] = {}
        self._finished: set[int] = set()
        self._base: list[float] | None = None
        self._shadow = ShadowStudy(self._distributions, senses)
        self._filling_points = SpaceFillingPoints(where, seed)
        self._lock = RLock()

    @property
    def finished(self) -> int:
        """Number of points with values."""
        return len(self._finished)

    def add(
        self,
        number: int,
        params: Mapping[str, Any],
        observation: Observation | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a point under its number; it is pending without an `observation`. `attributes` are
        those that `suggest` returned with it."""
        with self._lock:
            if params.keys() != self._distributions.keys():
                return
            notes = self._points[number][3] if number in self._points else attributes or {}
            self._points[number] = number, dict(params), observation, notes
            if observation is not None:
                self._finished.add(number)
            self._shadow.add(*self._points[number])

    def tell_base(self, values: Sequence[float]) -> None:
        """Values of the base model, which the units of a preference (`SearchDomain.prefer`) depend
        on."""
        with self._lock:
            self._base = list(values)

    def drop(self, number: int) -> None:
        """Drop a pending point that will have no values: it failed, was stopped, or was released.
        Unknown numbers are ignored."""
        with self._lock:
            self._points.pop(number, None)
            self._finished.discard(number)
            self._shadow.drop(number)

    def suggest(self, number: int) -> tuple[Params, dict[str, Any]]:
        """The point to try under `number` and the sampler's notes on it. Depends only on the
        points, the seed and `number`, so a restart suggests the same."""
        name = EHVI if self._sampler == AUTO else self._sampler
        if name == EHVI and self.finished >= FEWEST:
            with self._lock:
                known = self._known()
            params = suggest(self._where, known, self._seed * 10_007 + number)
            return params if self._allowed(params) else self._filling_points[number], {}
        if name in (SOBOL, EHVI):
            return self._filling_points[number], {}
        for again in range(ATTEMPTS):
            params, notes = self._ask_optuna(name, number + again * 1_000_003)
            if self._allowed(params):
                return params, notes
        return self._filling_points[number], {}

    def _known(self) -> Observations:
        points = [self._points[number] for number in sorted(self._points)]
        ended = [
            (params, observation) for _, params, observation, _ in points if observation is not None
        ]
        pending = [params for _, params, observation, _ in points if observation is None]
        signs = [1.0 if s == "max" else -1.0 for s in self._senses]
        return Observations(ended, pending, signs, self._base)

    def _allowed(self, params: Params) -> bool:
        return self._where.allowed is None or self._where.allowed(params)

    def _ask_optuna(self, name: str, number: int) -> tuple[Params, dict[str, Any]]:
        with self._lock:
            return self._shadow.ask(sampler_for(name, self._seed, number, self._startup))


class SuggestionPrefetcher:
    """Computes the next suggestion in a thread while trials run.

    Call `refresh` after every event. `take` dispatches the newest finished suggestion, which may
    lack results that arrived after it was started; in return no worker waits.
    """

    def __init__(self, suggester: Suggester) -> None:
        self._suggester = suggester
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="suggest")
        self._running: Future[tuple[int, tuple[Params, dict[str, Any]]]] | None = None
        self._ready: tuple[int, tuple[Params, dict[str, Any]]] | None = None
        self._again: int | None = None

    def refresh(self, number: int) -> None:
        """Start computing the point for `number` from the current observations."""
        self._collect()
        if self._running is None:
            self._begin(number)
        else:
            self._again = number

    def take(self, number: int, wait: bool = False) -> tuple[Params, dict[str, Any]] | None:
        """The suggestion for `number`; None while it is being computed, unless `wait`. Raises what
        the sampler raised."""
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
                self._running.exception()  # waits; an exception is raised at the next turn

    def _begin(self, number: int) -> None:
        self._again = None
        self._running = self._pool.submit(lambda: (number, self._suggester.suggest(number)))

    def _collect(self) -> None:
        """Store a finished suggestion, and start anew if something happened in the meantime."""
        if self._running is not None and self._running.done():
            done, self._running = self._running, None
            self._ready = done.result()
            if self._again is not None:
                self._begin(self._again)
