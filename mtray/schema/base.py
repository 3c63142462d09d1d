"""The base class of all data models: frozen, and unknown keys are errors."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["parallel", "mono", "replay", "instruct"]
# the pool a recipe counts a source in: instructions are drawn like replay
POOLS: dict[Kind, Kind] = {"instruct": "replay"}
Pool = Kind | Literal["directions"]  # what is divided: a kind among its sources, or all pairs
# recipes that need no search (`mtray.search.strategy.baseline_recipes`)
Baseline = Literal["parallel_only", "mono_one_to_one", "mono_two_to_one", "uniform"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
DIRECTION_PATTERN = r"^[a-z]{2,3}-[a-z]{2,3}$"
Direction = Annotated[
    str, Field(pattern=DIRECTION_PATTERN, description="source-target, such as en-uk")
]


NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"  # of studies and sources


class Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False
    )
