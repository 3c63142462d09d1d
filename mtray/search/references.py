"""Recipes that nobody has to search for: every sweep runs them, and the front is measured against
them."""

from __future__ import annotations

from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from mtray.schema import Role, Study
from mtray.search.samplers import at_quantile
from mtray.space import Space


def reference_recipes(space: Space, study: Study) -> dict[Role, dict[str, Any]]:
    """Baselines that every sweep runs: parallel text only, and one monolingual example per pair,
    both at the largest size.

    They hold whatever the space fixes or leaves out. What it varies beyond them is set to the
    study's `defaults`, else to the middle of its range.
    """
    distributions = space.distributions()
    params = {
        name: study.defaults.get(name, at_quantile(d, 0.5)) for name, d in distributions.items()
    }
    params |= {"replay_fraction": 0.0, "mono_ratio": 0.0, "frozen_layers": 0}
    params["parallel_size"] = space.largest("parallel_size")
    out: dict[Role, dict[str, Any]] = {"parallel_only": params}
    if any(s.kind == "mono" for s in study.sources):
        out["mono_one_to_one"] = {**params, "mono_ratio": 1.0}
    return out


def nearest(distribution: BaseDistribution, value: Any) -> Any:
    """`value`, or the closest choice where Optuna takes only those."""
    if not isinstance(distribution, CategoricalDistribution) or value in distribution.choices:
        return value
    return min(distribution.choices, key=lambda c: abs(c - value))  # type: ignore[operator,return-value]
