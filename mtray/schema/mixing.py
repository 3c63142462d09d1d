"""The units in which the sizes and ratios of a recipe are counted."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from mtray.schema.base import Frozen

Count = Literal["examples", "tokens"]


class Mixing(Frozen):
    """- `count`: the unit of `mono_ratio`, `replay_fraction` and the weights of monolingual, replay
      and instruction sources.
    - `parallel`: the unit of `parallel_size` and the weights of parallel sources; `tokens` needs
      `count: tokens`.
    """

    count: Count = "examples"
    parallel: Count = "examples"

    @model_validator(mode="after")
    def _units_go_together(self) -> Mixing:
        if self.parallel == "tokens" and self.count != "tokens":
            raise ValueError(
                "`parallel: tokens` needs `count: tokens`, so that ratios have the same unit"
            )
        return self
