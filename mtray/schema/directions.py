"""Translation directions of the parallel sources, and their shares of the pairs.

A parallel source can supply both directions of its two languages. A recipe's `direction.xx-yy` are
shares of all pairs. The sources that can supply a direction divide its share by weight, and a
source's rows are divided between its two directions in proportion to what it supplies of each. So a
source supplies nothing if both of its directions have a share of 0, and weights matter only among
sources of the same two languages.
"""

from __future__ import annotations

from collections.abc import Sequence

from mtray.schema.recipe import Recipe
from mtray.schema.study import Source

Weighted = Sequence[tuple[Source, float]]  # sources with their weights


def directions_of(source: Source) -> tuple[str, ...]:
    """The two directions of a parallel source, first the one in the order of its languages."""
    if source.kind != "parallel":
        return ()
    first, second = source.languages
    return f"{first}-{second}", f"{second}-{first}"


def all_directions(sources: Sequence[Source]) -> tuple[str, ...]:
    """The directions of all sources, each once."""
    return tuple(dict.fromkeys(d for source in sources for d in directions_of(source)))


def own_directions(source: Source) -> dict[str, float]:
    """A source's own shares by direction, of those above 0."""
    return dict(source.directions) or {directions_of(source)[0]: 1.0}


def own_shares(weighted: Weighted) -> dict[str, float]:
    """Every direction's share of all pairs, as the study has it: the sources' weights and
    `directions`."""
    found = dict.fromkeys(all_directions([source for source, _ in weighted]), 0.0)
    pairs = [(source, weight) for source, weight in weighted if source.kind == "parallel"]
    whole = sum(weight for _, weight in pairs)
    for source, weight in pairs:
        own = own_directions(source)
        for direction, share in own.items():
            found[direction] += (weight / whole if whole else 0.0) * (share / sum(own.values()))
    return found


def shares_of(recipe: Recipe, weighted: Weighted) -> dict[str, float]:
    """Every direction's share of all pairs up to a common factor: the recipe's where it gives one,
    else the study's."""
    return own_shares(weighted) | recipe.directions


def source_directions(recipe: Recipe, source: Source, weighted: Weighted) -> dict[str, float]:
    """The shares of a source's own two directions, up to a common factor and without those of 0, in
    the order of its `directions`: the source's own unless the recipe gives directions."""
    if not set(recipe.directions) & {*all_directions([s for s, _ in weighted])}:
        return own_directions(source)
    shares = shares_of(recipe, weighted)
    order = dict.fromkeys((*own_directions(source), *directions_of(source)))
    return {d: shares[d] for d in order if shares[d] > 0}


def with_directions(recipe: Recipe, weighted: Weighted) -> list[tuple[Source, float]]:
    """The sources with the weights that follow from the recipe's directions."""
    if not recipe.directions:
        return list(weighted)
    shares = shares_of(recipe, weighted)
    totals = dict.fromkeys(shares, 0.0)
    for source, weight in weighted:
        for direction in directions_of(source):
            totals[direction] += weight
    given = {d: shares[d] / totals[d] if totals[d] else 0.0 for d in shares}
    return [
        (s, w * sum(given[d] for d in directions_of(s)) if s.kind == "parallel" else w)
        for s, w in weighted
    ]
