"""What the ratios of a recipe count."""

from __future__ import annotations

from typing import Literal

from mtray.schema.base import Frozen

Count = Literal["examples", "tokens"]


class Mixing(Frozen):
    """What `mono_ratio` and `replay_fraction`, and the weights of sources of these kinds, count.
    `parallel_size` and the weights of parallel sources always count examples."""

    count: Count = "examples"
