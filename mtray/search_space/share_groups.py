"""Lines of a space for the weights of sources (`weight.SOURCE`) and the shares of directions
(`direction.xx-yy`), checked against the study's sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtray.errors import ConfigError
from mtray.schema import DIRECTION, SIZE_OF, WEIGHT, Pool, Source, all_directions
from mtray.search_space.parameters import Parameter, Share, Value, shown
from mtray.search_space.simplex import ROUNDING

SEARCHED = "{type: share}"
PREFIXES = (WEIGHT, DIRECTION)


@dataclass(frozen=True)
class ShareGroup:
    """Parameters whose values are shares of one whole.

    - `pool`: the kind of the sources, or `directions`.
    - `names`: the parameters that divide it.
    """

    pool: Pool
    names: tuple[str, ...]

    @property
    def members(self) -> str:
        """What each of them is the share of, in words."""
        of_kind = f"source of kind {self.pool} has weight"
        return "direction has share" if self.pool == "directions" else of_kind

    @property
    def whole(self) -> str:
        """What they divide, in words."""
        if self.pool == "directions":
            return "the directions are shares of 1"
        return f"the weights of the {self.pool} sources are shares of 1"


def share_groups(sources: Sequence[Source]) -> list[ShareGroup]:
    """The weights of every kind, and the directions of the parallel sources."""
    pools = dict.fromkeys(source.pool for source in sources)
    weights = [
        ShareGroup(pool, tuple(f"{WEIGHT}{s.name}" for s in sources if s.pool == pool))
        for pool in pools
    ]
    directions = tuple(f"{DIRECTION}{name}" for name in all_directions(sources))
    return [*weights, *([ShareGroup("directions", directions)] if directions else [])]


def check_names(where: str, names: Sequence[str], sources: Sequence[Source]) -> None:
    """ConfigError for the weight of an unknown source, or a direction that no source has."""
    kept = {WEIGHT: [s.name for s in sources], DIRECTION: list(all_directions(sources))}
    lacking = {WEIGHT: "the study has no such source", DIRECTION: "no parallel source has these"}
    for prefix, known in kept.items():
        for name in names:
            if name.startswith(prefix) and name.removeprefix(prefix) not in known:
                allowed = ", ".join(f"{prefix}{one}" for one in known) or "none without a study"
                raise ConfigError(f"{where}: {name}: {lacking[prefix]}; allowed: {allowed}")


def with_groups(
    path: Path,
    parameters: Mapping[str, Parameter],
    fixed: Mapping[str, Value],
    sources: Sequence[Source],
) -> dict[str, Parameter]:
    """The parameters, with the group of every searched share. Raises ConfigError if the shares
    of a group cannot sum to 1."""
    found = dict(parameters)
    for name, parameter in parameters.items():
        if isinstance(parameter, Share) != name.startswith(PREFIXES):
            whose = f"the share of a direction is searched by `{DIRECTION}xx-yy: {SEARCHED}`"
            if not name.startswith(DIRECTION):
                whose = f"the weight of a source is searched by `{WEIGHT}SOURCE: {SEARCHED}`"
            raise ConfigError(
                f"{path}: {name}.type: {parameter.type} is not possible; {whose}, and only weights "
                "and directions are shares"
            )
    for group in share_groups(sources):
        names = group.names
        if searched := [name for name in names if name in parameters]:
            whole = _left(path, group, searched, fixed)
            own = {"pool": group.pool, "high": whole, "count": len(searched)}
            found |= {name: _in_group(path, name, parameters[name], own) for name in searched}
        elif names and all(fixed.get(name) == 0 for name in names):
            raise ConfigError(
                f"{path}: {', '.join(names)}: every {group.members} 0; to leave "
                f"{'all pairs' if group.pool == 'directions' else 'the kind'} out, fix "
                f"{SIZE_OF[group.pool]} at 0"
            )
    _check_both(path, {*parameters, *fixed}, parameters, sources)
    return found


def _check_both(
    path: Path, given: set[str], parameters: Mapping[str, Parameter], sources: Sequence[Source]
) -> None:
    """With directions, weights divide what sources of the same two languages give; where a weight
    may be 0, the directions of a source must not depend on it alone."""
    pairs = [source for source in sources if source.kind == "parallel"]
    searched = [s.name for s in pairs if f"{WEIGHT}{s.name}" in parameters]
    languages = {frozenset(source.languages) for source in pairs}
    directions = sorted(name for name in given if name.startswith(DIRECTION))
    if searched and directions and len(languages) > 1:
        raise ConfigError(
            f"{path}: {WEIGHT}{searched[0]} is searched, and so is or fixed {directions[0]}: "
            "directions divide the pairs among sources of different languages already; drop the "
            "weights of the parallel sources, or the directions"
        )


def _left(
    path: Path, group: ShareGroup, searched: Sequence[str], fixed: Mapping[str, Value]
) -> float:
    """What the fixed shares of a group leave for the searched ones."""
    among = "a direction too" if group.pool == "directions" else f"of the same kind ({group.pool})"
    if missing := [name for name in group.names if name not in searched and name not in fixed]:
        raise ConfigError(
            f"{path}: {searched[0]} is searched, and {missing[0]}, {among}, has "
            f"no line; add `{missing[0]}: {SEARCHED}`, or `{missing[0]}: 0` to leave it out"
        )
    kept = {name: float(fixed[name]) for name in group.names if name in fixed}
    left = 1 - sum(kept.values())
    if left < ROUNDING:
        said = ", ".join(f"{name} {shown(value)}" for name, value in kept.items())
        raise ConfigError(
            f"{path}: {said} leave nothing for {', '.join(searched)}: {group.whole} "
            "where one is searched; lower the fixed ones"
        )
    if len(searched) == 1:
        only = "direction" if group.pool == "directions" else f"weight of kind {group.pool}"
        raise ConfigError(
            f"{path}: {searched[0]} is the only {only} that is searched, so it can "
            f"only be {shown(left)}; fix it, or search another one"
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
