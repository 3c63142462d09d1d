"""The unit in which the ratios of a recipe are counted."""

from __future__ import annotations

from typing import Literal

from mtray.schema.base import Frozen

Count = Literal["examples", "tokens"]


class Mixing(Frozen):
    """`parallel_size` and the weights of parallel sources always count examples.

    - `count`: the unit of `mono_ratio`, `replay_fraction` and the weights of monolingual, replay
      and instruction sources.
    """

    count: Count = "examples"
