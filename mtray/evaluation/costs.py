"""The training cost of a recipe, as scores."""

from __future__ import annotations

from collections.abc import Mapping

from mtray.schema import Resources, Score


def cost_scores(seconds: Mapping[str, float], resources: Resources) -> dict[str, Score]:
    """The cost of training a recipe, without its evaluation: `cost.seconds` of wall clock (loading,
    mixing, training) and `cost.device_hours`, the same times the number of GPUs, or else CPUs, that
    a trial holds. Measured once, so without an interval."""
    spent = sum(seconds.get(phase, 0.0) for phase in ("load", "mix", "training"))
    found = {"cost.seconds": spent, "cost.device_hours": spent * resources.devices / 3600}
    return {
        name: Score(value=v, low=v, high=v, n=1, signature="wall clock")
        for name, v in found.items()
    }
