"""Which points of a space can be trained, and which of them the search looks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mtray.analysis.preference import utility
from mtray.data.mixing import SumsOf, plan, repeat_caps
from mtray.schema import Study
from mtray.search.strategy.cost_aware import SearchDomain, cost_exponent
from mtray.search_space.space import Space


def feasibility(
    study: Study, space: Space, held: Mapping[str, int] | None, sums: SumsOf
) -> Callable[[dict[str, Any]], bool] | None:
    """A predicate: whether a point repeats no source more often than allowed; None if all points
    are allowed. `held` and `sums` as in `baseline_recipes`."""
    caps = repeat_caps(study.sources, held or {})
    if not caps:
        return None

    def allowed(params: dict[str, Any]) -> bool:
        recipe = space.recipe(params)
        parts = plan(recipe, study.sources, sums(recipe))
        return all(part.count <= caps.get(part.source, part.count) for part in parts)

    return allowed


def search_domain(
    study: Study, space: Space, held: Mapping[str, int] | None, sums: SumsOf
) -> SearchDomain:
    """What the search of a study looks at. `held` and `sums` as in `baseline_recipes`."""
    return SearchDomain(
        space.distributions(),
        space.guesses,
        feasibility(study, space, held, sums),
        space.switched_off if space.has_conditions else None,
        cost_exponent(study.budget),
        utility(study.objectives, study.prefer) if study.prefer else None,
    )
