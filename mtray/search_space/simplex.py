"""Parameters whose values sum to a whole: the searched weights of the sources of one kind,
or shares of directions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from mtray.errors import ConfigError

ROUNDING = 1e-9  # up to which shares sum to their whole
Groups = Mapping[Any, tuple[list[str], float]]  # names of the parameters, and what they sum to


def on_simplex(params: Mapping[str, Any], groups: Groups) -> dict[str, Any]:
    """The parameters with the amounts of every group (names, whole) divided so that they sum to its
    whole; all alike where every one is 0."""
    found = dict(params)
    for names, whole in groups.values():
        if any(name not in params for name in names):
            continue
        total = sum(params[name] for name in names)
        if total == 0:
            found |= dict.fromkeys(names, whole / len(names))
        elif abs(total - whole) > ROUNDING:
            found |= {name: params[name] / total * whole for name in names}
    return found


def with_given(params: Mapping[str, Any], groups: Groups, given: Collection[str]) -> dict[str, Any]:
    """The parameters with the shares that were not `given` in the same proportions as before, so
    that every group sums to its whole. Raises ConfigError where that is impossible."""
    found = dict(params)
    for names, whole in groups.values():
        if not set(names) & set(given):
            continue
        rest = [name for name in names if name not in given]
        left = whole - sum(params[name] for name in names if name in given)
        if left < -ROUNDING or (not rest and left > ROUNDING):
            said = ", ".join(f"{name}={params[name]:g}" for name in names if name in given)
            raise ConfigError(f"{said}: the shares of {', '.join(names)} sum to {whole:g}")
        total = sum(params[name] for name in rest)
        for name in rest:
            part = params[name] / total if total else 1 / len(rest)
            found[name] = max(0.0, left) * part
    return found
