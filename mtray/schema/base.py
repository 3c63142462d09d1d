"""What every noun is made of: frozen, and unknown keys are errors."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["parallel", "mono", "replay", "instruct"]
# what a recipe counts a source to: instructions are drawn as replay is
POOLS: dict[Kind, Kind] = {"instruct": "replay"}


class Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False
    )
