"""The number of examples of each source for a recipe. `plan` is the only reader of `parallel_size`,
`mono_ratio`, `replay_fraction`, `source_weights` and `weight.SOURCE`, and with them of what the
shares of directions (`direction.xx-yy`) make each parallel source give.

n_mono = mono_ratio * n_parallel; n_replay = replay_fraction / (1 - replay_fraction) * (n_parallel +
n_mono). Within a kind the sources share by weight, or equally where the recipe says so; a
weight of 0 leaves a source out;
instructions are drawn like replay and count as replay. Numbers are rounded once, here, by largest
remainder.

Draws are nested: every source is shuffled once by (study seed, source) and a trial takes a prefix,
so trials differ by their recipes and not by their draws. A replicate shuffles the whole source
again in its own order. Its draw is a random subset of the source, independent of the first draw and
exchangeable with it, so the variance over replicates is that of a draw from this corpus. A recipe
that takes a share p of a source has about p of its rows in common with every replicate; `shared` in
the record counts them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mtray.errors import ConfigError, DataError
from mtray.schema import (
    DIRECTION,
    SIZE_OF,
    WEIGHT,
    Kind,
    Recipe,
    Source,
    all_directions,
    with_directions,
)

Index = npt.NDArray[np.int64]
Sums = Mapping[str, Index]  # cumulative tokens of each source's examples in the order drawn


class AllTokenSums(dict[str, Index]):
    """The sums of a study in which `parallel_size` counts tokens too
    (`mixing: {parallel: tokens}`)."""


SumsOf = Callable[[Recipe], Sums | None]  # the sums for a recipe; None: examples are counted


@dataclass(frozen=True)
class MixPart:
    """One source's part of a plan.

    - `requested`: what the recipe asks for, in examples.
    - `count`: the whole number to draw.
    - `requested_tokens`: what the recipe asks for in tokens, where it counts those.
    """

    source: str
    kind: Kind
    requested: float
    count: int
    requested_tokens: float | None = None


def largest_remainder(shares: Sequence[float], total: int) -> list[int]:
    """Whole numbers that sum to `total`, each less than 1 from its share in `shares` (Hamilton's
    method; ties go to the earlier share).

    Raises ValueError unless the shares sum to `total` within rounding to a whole number.
    """
    if abs(sum(shares) - total) > 1:
        raise ValueError(f"shares sum to {sum(shares)}, which does not round to {total}")
    counts = [math.floor(s) for s in shares]
    largest = sorted(range(len(shares)), key=lambda i: (counts[i] - shares[i], i))
    for i in largest[: total - sum(counts)]:
        counts[i] += 1
    return counts


def kind_sizes(recipe: Recipe, parallel: float | None = None) -> dict[Kind, float]:
    """The size that the recipe asks for of each kind before rounding, in the unit of `parallel`
    (default: examples)."""
    parallel = float(recipe.parallel_size) if parallel is None else parallel
    mono = recipe.mono_ratio * parallel
    replay = recipe.replay_fraction / (1 - recipe.replay_fraction) * (parallel + mono)
    return {"parallel": parallel, "mono": mono, "replay": replay}


def plan(recipe: Recipe, sources: Sequence[Source], sums: Sums | None = None) -> list[MixPart]:
    """How many examples each source gives; ratios count tokens where `sums` are given. Raises
    ConfigError when the recipe asks for a kind that no source has."""
    if sums is not None:
        return _plan_by_tokens(recipe, sources, sums)
    sizes = kind_sizes(recipe)
    parts = _shared(sizes, weighted(recipe, sources))
    requested = [share for _, share in parts]
    # the shares' own sum is off by rounding, which would decide a tie such as 2.5
    counts = largest_remainder(requested, round(sum(sizes.values())))
    return [MixPart(s.name, s.kind, r, c) for (s, r), c in zip(parts, counts, strict=True)]


def weighted(recipe: Recipe, sources: Sequence[Source]) -> list[tuple[Source, float]]:
    """Every source with its weight among the sources of its kind: of parallel ones what the
    recipe's directions make of it (`mtray.schema.directions`). ConfigError where they leave no
    pair."""
    given = given_weights(recipe, sources)
    found = with_directions(recipe, given)
    pairs = [w for s, w in given if s.kind == "parallel"]
    if any(pairs) and not any(w for s, w in found if s.kind == "parallel"):
        none = ", ".join(f"{DIRECTION}{name}" for name in all_directions(sources))
        raise ConfigError(f"every direction of the sources has share 0: {none}")
    return found


def given_weights(recipe: Recipe, sources: Sequence[Source]) -> list[tuple[Source, float]]:
    """Every source with the recipe's own weight, or what its `source_weights` says."""
    own, study = recipe.weights, recipe.source_weights == "study"
    return [(s, own.get(s.name, s.weight if study else 1.0)) for s in sources]


def _shared(
    sizes: Mapping[Kind, float], sources: Sequence[tuple[Source, float]]
) -> list[tuple[Source, float]]:
    """Every source with its share of its kind's size; `sources` come with their weights."""
    parts: list[tuple[Source, float]] = []
    for kind, size in sizes.items():
        members = [(s, weight) for s, weight in sources if s.pool == kind]
        if size > 0 and not members:
            raise ConfigError(
                f"{SIZE_OF[kind]} is above 0 but the study has no source of kind {kind!r}"
            )
        total = sum(weight for _, weight in members)
        if size > 0 and not total:
            left_out = ", ".join(f"{WEIGHT}{s.name}" for s, _ in members)
            raise ConfigError(f"every source of kind {kind!r} has weight 0: {left_out}")
        parts += [(s, size * weight / total if size else 0.0) for s, weight in members]
    return parts


def _plan_by_tokens(recipe: Recipe, sources: Sequence[Source], sums: Sums) -> list[MixPart]:
    given = weighted(recipe, sources)
    pairs = _shared({"parallel": float(recipe.parallel_size)}, given)
    if isinstance(sums, AllTokenSums):
        parts = _at_least_one(_nearest(pairs, sums))
    else:
        counts = largest_remainder([share for _, share in pairs], recipe.parallel_size)
        parts = [MixPart(s.name, s.kind, r, c) for (s, r), c in zip(pairs, counts, strict=True)]
    sizes = kind_sizes(recipe, float(sum(tokens_of(sums[p.source], p.count) for p in parts)))
    del sizes["parallel"]
    return [*parts, *_nearest(_shared(sizes, given), sums)]


def _at_least_one(parts: list[MixPart]) -> list[MixPart]:
    """The parts, with one example where fewer tokens than half an example are asked for: a recipe
    with parallel data trains on some."""
    most = max(parts, key=lambda part: part.requested)
    if most.requested == 0 or any(part.count for part in parts):
        return parts
    return [replace(part, count=1) if part is most else part for part in parts]


def _nearest(shares: Sequence[tuple[Source, float]], sums: Sums) -> list[MixPart]:
    """The numbers of examples that come nearest to shares in tokens, source by source."""
    parts = []
    for source, wanted in shares:
        requested = examples_for(sums[source.name], wanted)
        count = math.floor(requested + 0.5)
        parts.append(MixPart(source.name, source.kind, requested, count, wanted))
    return parts


def tokens_of(sums: Index, count: int) -> int:
    """Tokens of the first `count` examples of a source, which is repeated when it is too short."""
    if not count:
        return 0
    passes, rest = divmod(count, len(sums))
    return passes * int(sums[-1]) + (int(sums[rest - 1]) if rest else 0)


def examples_for(sums: Index, tokens: float) -> float:
    """How many examples, from the start of a source and with a fraction of the last, have this many
    tokens; the source is repeated when it is too short. Rounded, the number comes nearest to
    `tokens`."""
    if not tokens:
        return 0.0
    passes, rest = divmod(tokens, int(sums[-1]))
    whole = int(np.searchsorted(sums, rest, side="right"))
    before = int(sums[whole - 1]) if whole else 0
    return passes * len(sums) + whole + (rest - before) / (int(sums[whole]) - before)


def repeat_caps(sources: Sequence[Source], held: Mapping[str, int]) -> dict[str, int]:
    """The most examples that a recipe may ask of each source with a cap on repeats; `held` gives
    the sizes of the sources."""
    return {
        s.name: math.floor(s.max_repeats * held[s.name])
        for s in sources
        if s.max_repeats is not None and s.name in held
    }


def source_order(seed: int, source: str, size: int) -> Index:
    """The permutation of a source's rows of which every trial of a study takes prefixes, shape
    (size,)."""
    digest = hashlib.sha256(f"{seed}/{source}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big")).permutation(size)


@dataclass(frozen=True)
class Draw:
    """Which draw of the data: replicate 0 is the study's own, every other one is equally random."""

    seed: int = 0
    replicate: int = 0

    def order(self, source: str, held: int) -> Index:
        """The order in which the held examples of a source are drawn, shape (held,): unchanged for
        replicate 0, else a permutation by (study seed, replicate, source)."""
        if not self.replicate:
            return np.arange(held)
        return source_order(self.seed, f"{source}/{self.replicate}", held)


OWN_DRAW = Draw()


def draw(
    parts: Sequence[MixPart], held: Mapping[str, int], allow_repeats: bool, which: Draw = OWN_DRAW
) -> dict[str, Index]:
    """Positions in each source's order (`source_order`), shape (count,): a prefix of `which`. A
    source that is too short is repeated if that is allowed, else a DataError is raised. `held`
    gives the sizes of the sources. Draws of one `which` are nested. A replicate that counts tokens
    may need slightly more examples than a source holds although the first draw did not; it takes
    all there are."""
    drawn = {}
    for part in parts:
        size, count = held[part.source], part.count
        if count > size and not allow_repeats and which.replicate and part.requested_tokens:
            count = size
        if count > size and not allow_repeats:
            raise DataError(
                f"source {part.source!r} holds {size:,} examples and the recipe asks for "
                f"{part.count:,}; lower the search range or set `training: {{allow_repeats: true}}`"
            )
        order = which.order(part.source, size)[:count]
        drawn[part.source] = np.resize(order, count)  # a copy, so the full order can be freed
    return drawn


def shared_rows(rows: Index, which: Draw) -> int:
    """How many rows of a draw, shape (count,), are also in the study's own draw of the same
    size."""
    return int((rows < len(rows)).sum()) if which.replicate else 0
