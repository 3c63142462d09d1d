"""Sources, recipes and tables shared by the `data` commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtray.data.rendering_checks import check_renderings
from mtray.data.store import build_store
from mtray.data.tables import StoredTable
from mtray.errors import ConfigError
from mtray.report.printing import aligned
from mtray.schema import (
    RENAMED,
    Mix,
    Recipe,
    Source,
    SourceShare,
    Study,
    is_parameter,
    parameter_names,
)
from mtray.search_space.share_groups import check_names
from mtray.search_space.space import unknown_parameter


def chosen(study: Study, name: str | None) -> tuple[Source, ...]:
    """The requested sources: one, or all."""
    found = tuple(s for s in study.sources if name in (None, s.name))
    if not found:
        raise ConfigError(
            f"--source: the study has no source {name!r}; it has "
            f"{', '.join(s.name for s in study.sources)}"
        )
    return found


def recipe_of(pairs: Sequence[str], study: Study) -> Recipe | None:
    """A recipe of `key=value`, which override the study's defaults; None where none were given."""
    if not pairs:
        return None
    given: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if key in RENAMED:
            raise unknown_parameter("--recipe", key)
        if not sign or not is_parameter(key):
            raise ConfigError(
                f"--recipe: expected KEY=VALUE with a key of {parameter_names()}; found {pair}"
            )
        given[key] = value
    check_names("--recipe", list(given), study.sources)
    try:
        return default_recipe(study, given)
    except ValueError as error:
        reason = "; ".join(str(error).splitlines()[1:3])
        raise ConfigError(f"--recipe {' '.join(pairs)}: {reason}") from None


def default_recipe(study: Study, given: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe of the study's defaults, and of what is given instead. Raises ValueError."""
    known = {k: v for k, v in study.defaults.items() if is_parameter(k)}
    return Recipe.model_validate({"parallel_size": 1000, **known, **(given or {})})


def tables_of(
    study: Study, sources: Sequence[Source], tokenizer: Any, *recipes: Recipe | None
) -> dict[str, StoredTable]:
    given = [recipe for recipe in recipes if recipe is not None]
    check_renderings(given, study, tokenizer)
    only = study.model_copy(update={"sources": tuple(sources)})
    return build_store(only, tokenizer, say=print, recipes=given)


def most_lines(most: Mapping[str, int], tables: Mapping[str, StoredTable]) -> list[str]:
    """The largest amount asked of every source, next to what it holds."""
    rows = [["source", "asked", "examples", "repeats"]]
    for name, count in most.items():
        has = len(tables[name])
        rows.append([name, f"{count:,}", f"{has:,}", f"{count / max(1, has):.3g}"])
    return aligned(rows, left=1)


def mix_lines(recipe: Recipe, mix: Mix) -> list[str]:
    """The realised mix, with shares of examples and tokens."""
    parameters = ("parallel_size", "mono_ratio", "replay_fraction")
    rows = [
        ["source", "kind", "requested", "realised", "tokens", "of examples", "of tokens", "repeats"]
    ]
    for s in mix.shares:
        asked = f"{s.requested:,.2f}"
        if s.requested_tokens is not None:
            asked = f"{s.requested_tokens:,.1f} tokens"
        rows.append([
            s.source, s.kind, asked, f"{s.realised:,}", f"{s.tokens:,}",
            f"{s.realised / max(1, mix.examples):.1%}", f"{s.tokens / max(1, mix.tokens):.1%}",
            f"{s.repeats:.3g}",
        ])  # fmt: skip
    told = ", ".join(f"{parameter} {getattr(recipe, parameter):g}" for parameter in parameters)
    total = f"{mix.examples:,} examples, {mix.tokens:,} tokens"
    drawn = [f"  {s.source}: {said}" for s in mix.shares if (said := _realised(s))]
    return ["", f"mix of {told}: {total}", *aligned(rows, left=2), *drawn]


def _realised(share: SourceShare) -> str:
    """How the examples drawn from a source are rendered, where the recipe decides that."""
    parts = [f"{count:,} {direction}" for direction, count in share.directions.items()]
    parts += [] if share.noisy is None else [f"{share.noisy:,} noisy"]
    return ", ".join([*parts, *([f"{share.few_shot:,} few-shot"] if share.few_shot else [])])
