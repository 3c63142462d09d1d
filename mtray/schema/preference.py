"""What the user of a study prefers among its objectives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, model_validator

from mtray.schema.base import Frozen


def _number(given: object) -> float | None:
    """Quoted or not, as in all other fields; None for anything else."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return None
    try:
        return float(given)
    except ValueError:
        return None


def _interval(given: object) -> object:
    """A weight, or the interval [low, high] of one, as an interval. ValueError for anything
    else."""
    ends = given if isinstance(given, list | tuple) else (given, given)
    if given is None:
        return None
    numbers = [number for end in ends if (number := _number(end)) is not None]
    if len(ends) != 2 or len(numbers) != 2:
        raise ValueError("expected a number, or [low, high]")
    low, high = numbers
    if not 0 <= low <= high:
        raise ValueError("a weight is at least 0, and an interval [low, high] goes upwards")
    return float(low), float(high)


class Preference(Frozen):
    """What matters about one objective.

    - `at_least`, `at_most`: what a recipe should reach, in the objective's unit; at_least for an
      objective to maximise, at_most for one to minimise. A recipe that misses it is worse, not
      infeasible (`constraints` are limits that no recipe may break).
    - `weight`: how much one unit of worth of this objective counts, relative to the others, which
      have weight 1 unless they set one: a number, or [low, high], within which every value is
      equally probable. A unit of worth is the objective's range over base model, baselines and
      front.
    """

    at_least: float | None = None
    at_most: float | None = None
    weight: Annotated[tuple[float, float] | None, BeforeValidator(_interval)] = None

    @property
    def limit(self) -> float | None:
        """What should be reached, `at_least` or `at_most`."""
        return self.at_most if self.at_least is None else self.at_least

    @property
    def limit_text(self) -> str:
        return (
            f"at least {self.at_least:g}" if self.at_most is None else f"at most {self.at_most:g}"
        )

    @property
    def weight_text(self) -> str:
        low, high = self.weight or (1.0, 1.0)
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"

    @model_validator(mode="after")
    def _says_something(self) -> Preference:
        if self.at_least is not None and self.at_most is not None:
            raise ValueError("give one of at_least and at_most, by the objective's direction")
        return self


def check_preferences(
    prefer: Mapping[str, Preference], objectives: Mapping[str, Literal["max", "min"]]
) -> None:
    """ValueError if a preference names no objective, says nothing, limits the wrong side, or if all
    weights are 0."""
    for name, found in prefer.items():
        if name not in objectives:
            raise ValueError(f"`prefer` names {name!r}; `objectives` has {', '.join(objectives)}")
        sense = objectives[name]
        side, other = ("at_least", "at_most") if sense == "max" else ("at_most", "at_least")
        if getattr(found, other) is not None:
            raise ValueError(
                f"`prefer.{name}` has {other}, but {name} is an objective to "
                f"{'maximise' if sense == 'max' else 'minimise'}; give {side}"
                " (`constraints` may limit either side)"
            )
        if found == Preference():
            raise ValueError(f"`prefer.{name}` says nothing; give {side}, weight, or both")
    ends = [p.weight[1] for p in prefer.values() if p.weight is not None]
    if len(ends) == len(objectives) and not any(ends):
        raise ValueError("`prefer` has weight 0 for every objective; give one of them more")


def preference_text(
    prefer: Mapping[str, Preference], objectives: Mapping[str, object] | None = None
) -> str:
    """For example `retention at least 0.95; weights: quality 1 to 3, retention 1`. The weights are
    those of all `objectives`, if any has one."""
    said = [f"{name} {p.limit_text}" for name, p in prefer.items() if p.limit is not None]
    if any(p.weight is not None for p in prefer.values()):
        names = prefer if objectives is None else objectives
        weights = (f"{n} {prefer.get(n, Preference()).weight_text}" for n in names)
        said.append(f"weights: {', '.join(weights)}")
    return "; ".join(said)
