"""The space-filling points of a search: a Sobol sequence without what may not be tried."""

from __future__ import annotations

from threading import Lock
from typing import Any

from mtray.errors import ConfigError
from mtray.search.strategy.cost_aware import SearchDomain
from mtray.search.strategy.samplers import sobol_points

LOOKED_AT = 4096  # points of the sequence in a row that give nothing new: there are no more

Params = dict[str, Any]


class SpaceFillingPoints:
    """The points of a scrambled Sobol sequence by their places, in its order, but for those that
    are not allowed and those that were there before. It depends on the space and the seed alone, so
    a place has the same point after a restart. May be read by several threads."""

    def __init__(self, where: SearchDomain, seed: int) -> None:
        self._where, self._sequence = where, sobol_points(where.distributions, seed)
        self._found: list[Params] = []
        self._seen: set[tuple[tuple[str, Any], ...]] = set()
        self._over = False
        self._lock = Lock()

    def __getitem__(self, place: int) -> Params:
        """A space of fewer points begins again. ConfigError where none is allowed."""
        with self._lock:
            while len(self._found) <= place and not self._over:
                self._look_further()
            if not self._found:
                raise ConfigError(
                    f"none of {LOOKED_AT:,} recipes spread over the space keeps to the "
                    "`max_repeats` of every source; raise it, add data or lower the search range"
                )
            return dict(self._found[place % len(self._found)])

    def _look_further(self) -> None:
        """One more point, or the end."""
        for _ in range(LOOKED_AT):
            params = next(self._sequence)
            key = self._key(params)
            if key in self._seen:
                continue
            self._seen.add(key)
            if self._where.allowed is None or self._where.allowed(params):
                self._found.append(params)
                return
        self._over = True

    def _key(self, params: Params) -> tuple[tuple[str, Any], ...]:
        """What tells two points apart: values that are switched off do not."""
        off = self._where.switched_off(params) if self._where.switched_off else ()
        return tuple((name, value) for name, value in params.items() if name not in off)
