"""Lines of a space for the weights of sources (`weight.SOURCE`), checked against the study's
sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mtray.errors import ConfigError
from mtray.schema import SIZE_OF, WEIGHT, Source
from mtray.search_space.parameters import Parameter, Share, Value, shown
from mtray.search_space.simplex import ROUNDING

SEARCHED = "{type: share}"


def check_names(where: str, names: Sequence[str], sources: Sequence[Source]) -> None:
    """ConfigError for the weight of a source that there is not."""
    known = [source.name for source in sources]
    for name in names:
        if name.startswith(WEIGHT) and name.removeprefix(WEIGHT) not in known:
            allowed = ", ".join(f"{WEIGHT}{source}" for source in known) or "none without a study"
            raise ConfigError(f"{where}: {name}: the study has no such source; allowed: {allowed}")


def with_groups(
    path: Path,
    parameters: Mapping[str, Parameter],
    fixed: Mapping[str, Value],
    sources: Sequence[Source],
) -> dict[str, Parameter]:
    """The parameters, with the group of every searched weight. Raises ConfigError where the weights
    of a kind are no division of it."""
    found = dict(parameters)
    for name, parameter in parameters.items():
        if isinstance(parameter, Share) != name.startswith(WEIGHT):
            raise ConfigError(
                f"{path}: {name}.type: {parameter.type} is not possible; the weight of a source "
                f"is searched by `{WEIGHT}SOURCE: {SEARCHED}`, and nothing else is a share"
            )
    pools = {f"{WEIGHT}{source.name}": source.pool for source in sources}
    for pool in dict.fromkeys(pools.values()):
        names = [name for name in pools if pools[name] == pool]
        if searched := [name for name in names if name in parameters]:
            whole = _left(path, pool, names, searched, fixed)
            group = {"pool": pool, "high": whole, "count": len(searched)}
            found |= {name: _in_group(path, name, parameters[name], group) for name in searched}
        elif names and all(fixed.get(name) == 0 for name in names):
            raise ConfigError(
                f"{path}: {', '.join(names)}: every source of kind {pool} has weight 0; to leave "
                f"the kind out, fix {SIZE_OF[pool]} at 0"
            )
    return found


def _left(
    path: Path,
    pool: str,
    names: Sequence[str],
    searched: Sequence[str],
    fixed: Mapping[str, Value],
) -> float:
    """What the fixed weights of a kind leave for the searched ones."""
    if missing := [name for name in names if name not in searched and name not in fixed]:
        raise ConfigError(
            f"{path}: {searched[0]} is searched, and {missing[0]}, of the same kind ({pool}), has "
            f"no line; add `{missing[0]}: {SEARCHED}`, or `{missing[0]}: 0` to leave it out"
        )
    kept = {name: float(fixed[name]) for name in names if name in fixed}
    left = 1 - sum(kept.values())
    if left < ROUNDING:
        said = ", ".join(f"{name} {shown(value)}" for name, value in kept.items())
        raise ConfigError(
            f"{path}: {said} leave nothing for {', '.join(searched)}: the weights of the {pool} "
            "sources are shares of 1 where one is searched; lower the fixed ones"
        )
    if len(searched) == 1:
        raise ConfigError(
            f"{path}: {searched[0]} is the only weight of kind {pool} that is searched, so it can "
            f"only be {shown(left)}; fix it, or search another one of that kind"
        )
    return left


def _in_group(
    path: Path, name: str, parameter: Parameter, group: Mapping[str, str | float]
) -> Parameter:
    if parameter.guess is not None and not 0 <= float(parameter.guess) <= float(group["high"]):
        raise ConfigError(
            f"{path}: {name}.guess: {parameter.guess} is not within 0 to {group['high']:g}"
        )
    return parameter.model_copy(update=dict(group))
