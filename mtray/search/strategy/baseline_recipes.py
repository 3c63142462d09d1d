"""Baseline recipes, which need no search: every sweep trains them, and the front is compared with
them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from mtray.data.instructions import INSTRUCTIONS
from mtray.data.mixing import SumsOf, plan, repeat_caps
from mtray.schema import (
    DIRECTION,
    TRAINING_PARAMETERS,
    WEIGHT,
    Kind,
    Role,
    Source,
    Study,
    default_of,
    own_shares,
    rendering_of_study,
)
from mtray.search_space.space import Space
from mtray.search_space.unit_cube import at_quantile


def baseline_recipes(
    space: Space,
    study: Study,
    held: Mapping[str, int] | None = None,
    sums: SumsOf = lambda recipe: None,
) -> dict[Role, dict[str, Any]]:
    """The baselines of a sweep, those that `budget.baselines` names of:

    - parallel text only;
    - one and two monolingual examples per pair;
    - equally many examples of every source, whatever its weight, with the total of parallel text
      only. If a study counts tokens, every non-parallel source gives the tokens of an average
      parallel one.

    They keep whatever the space fixes or leaves out. Other varying parameters get the study's
    `defaults`, else its `training` setting, rendering (template, noise, shots, all instructions),
    source weight or direction of that name, else the middle of their range. `held` is the size of
    each source: a baseline that needs more examples, or more repeats than allowed, is made smaller,
    so that no study is too small for its baselines. `sums`: in a study that counts tokens.
    """
    params = _parallel_only(space, study)
    out: dict[Role, dict[str, Any]] = {"parallel_only": params}
    used = [s for s in study.sources if space.fixed.get(f"{WEIGHT}{s.name}") != 0]
    count = Counter(source.pool for source in used)
    if count["mono"]:
        out["mono_one_to_one"] = {**params, "mono_ratio": 1.0}
        out["mono_two_to_one"] = {**params, "mono_ratio": 2.0}
    uneven = not evenly_weighted(used)
    if count["mono"] or count["replay"] or uneven:
        every = count.total()
        out["uniform"] = {
            **params,
            **equal_weights(space, used),
            "parallel_size": max(1, int(params["parallel_size"] * count["parallel"] / every)),
            "mono_ratio": count["mono"] / count["parallel"],
            "replay_fraction": count["replay"] / every,
        }
    out = {role: found for role, found in out.items() if role in study.budget.baselines}
    if held is None:
        return out
    if study.training.allow_repeats:
        held = repeat_caps(study.sources, held)
    return {role: _fitting(found, space, study, held, sums) for role, found in out.items()}


def _parallel_only(space: Space, study: Study) -> dict[str, Any]:
    distributions = space.distributions()
    params = {
        name: study.defaults.get(name, at_quantile(d, 0.5)) for name, d in distributions.items()
    }
    # a categorical parameter keeps its recipe default, above all full fine-tuning
    for name, d in distributions.items():
        default = default_of(name)
        if isinstance(default, str) and name not in study.defaults:
            params[name] = nearest(d, default)
    given = {*TRAINING_PARAMETERS} & distributions.keys() - study.defaults.keys()
    params |= {name: getattr(study.training, name) for name in given}
    rendered = rendering_of_study(study) | {"instructions": len(INSTRUCTIONS)}
    rendered["noise_rate"] = rendered["noise_rate"] or 0.0  # also where sources differ
    params |= {
        name: nearest(distributions[name], value)
        for name, value in rendered.items()
        if value is not None and name in distributions.keys() - study.defaults.keys()
    }
    params |= {"replay_fraction": 0.0, "mono_ratio": 0.0, "frozen_layers": 0}
    params |= {name: 1.0 for name in ("reversion_alpha", "stop_after") if name in params}
    params["parallel_size"] = space.largest("parallel_size")
    return params | space.on_simplex(study_weights(space, study))


def study_weights(space: Space, study: Study) -> dict[str, Any]:
    """The weights and directions that the space searches, as the study has them: of `defaults`,
    else the sources' own; of each kind up to a common factor."""
    own = {f"{WEIGHT}{source.name}": source.weight for source in study.sources}
    equal = {**study.defaults, **space.fixed}.get("source_weights") == "equal"
    weights = [
        (s, float(space.fixed.get(f"{WEIGHT}{s.name}", 1.0 if equal else s.weight)))
        for s in study.sources
    ]
    own |= {f"{DIRECTION}{name}": share for name, share in own_shares(weights).items()}
    names = [name for group, _ in space.groups.values() for name in group]
    return {name: study.defaults.get(name, own.get(name, 1.0)) for name in names}


def equal_weights(space: Space, sources: Sequence[Source]) -> dict[str, Any]:
    """What gives all sources of a kind the same weight, but for those that the space fixes, with
    their own directions."""
    searched = {name for group, _ in space.groups.values() for name in group}
    shares = {f"{DIRECTION}{d}": s for d, s in own_shares([(s, 1.0) for s in sources]).items()}
    alike = space.on_simplex({name: shares.get(name, 0.0) for name in searched})
    others = [s for s in sources if f"{WEIGHT}{s.name}" not in {*searched, *space.fixed}]
    return alike | ({} if evenly_weighted(others) else {"source_weights": "equal"})


def evenly_weighted(sources: Sequence[Source]) -> bool:
    """Whether the sources of each kind have equal weights."""
    by_kind: dict[Kind, set[float]] = {}
    for source in sources:
        by_kind.setdefault(source.pool, set()).add(source.weight)
    return all(len(weights) == 1 for weights in by_kind.values())


def _fitting(
    params: dict[str, Any],
    space: Space,
    study: Study,
    most: Mapping[str, int],
    sums: SumsOf,
) -> dict[str, Any]:
    """The same mix with the most pairs that need no more than `most` of any source listed there."""
    while True:
        recipe = space.recipe(params)
        parts = plan(recipe, study.sources, sums(recipe))
        share = min(
            (most[p.source] / p.count for p in parts if p.count and p.source in most), default=1.0
        )
        if share >= 1 or params["parallel_size"] <= 1:
            return params
        # one less again, as rounding can add an example to a source; tokens are not proportional,
        # so this may not be enough and is repeated
        params = {**params, "parallel_size": max(1, int(params["parallel_size"] * share) - 1)}


def nearest(distribution: BaseDistribution, value: Any) -> Any:
    """`value`, or the closest choice if Optuna accepts only choices."""
    if not isinstance(distribution, CategoricalDistribution) or value in distribution.choices:
        return value
    if isinstance(value, str):  # strings have no distance
        return distribution.choices[0]
    return min(distribution.choices, key=lambda c: abs(c - value))  # type: ignore[operator,return-value]
