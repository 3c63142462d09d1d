"""The space-filling points of a search: a Sobol sequence without points that may not be tried."""

from __future__ import annotations

from threading import Lock
from typing import Any

from mtray.errors import ConfigError
from mtray.search.strategy.cost_aware import SearchDomain
from mtray.search.strategy.samplers import sobol_points

LOOKED_AT = 4096  # consecutive points without a new one after which the search for more ends

Params = dict[str, Any]


class SpaceFillingPoints:
    """The points of a scrambled Sobol sequence by index, without forbidden points and duplicates.
    They depend on the space and the seed only, so an index gives the same point after a restart.
    Thread-safe."""

    def __init__(self, where: SearchDomain, seed: int) -> None:
        self._where, self._sequence = where, sobol_points(where.distributions, seed)
        self._found: list[Params] = []
        self._seen: set[tuple[tuple[str, Any], ...]] = set()
        self._over = False
        self._lock = Lock()

    def __getitem__(self, place: int) -> Params:
        """A space with fewer points starts over. Raises ConfigError if no point is allowed."""
        with self._lock:
            while len(self._found) <= place and not self._over:
                self._look_further()
            if not self._found:
                raise ConfigError(
                    f"none of {LOOKED_AT:,} recipes spread over the space respects the "
                    "`max_repeats` of every source; raise it, add data or lower the search range"
                )
            return dict(self._found[place % len(self._found)])

    def _look_further(self) -> None:
        """Find one more point, or the end."""
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
        """Key that identifies a point; parameters that are switched off do not count."""
        off = self._where.switched_off(params) if self._where.switched_off else ()
        return tuple((name, value) for name, value in params.items() if name not in off)
