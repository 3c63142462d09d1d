"""`data`: the token stores of a study's sources – build them, look at what the model will see, and
count."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtray.data.few_shot import SUFFIX, takes_shots
from mtray.data.pipeline import Pipeline
from mtray.data.store import build_store, mixed
from mtray.data.store_use import kept_stores
from mtray.data.tables import StoredTable
from mtray.data.token_files import Store, store_dir
from mtray.errors import ConfigError
from mtray.schema import Mix, Recipe, Source, Study
from mtray.search.largest import largest_recipes, most_asked
from mtray.space import Space, load_space
from mtray.study import load_study

PERCENTILES = (5, 25, 50, 75, 95, 99, 100)


def run_data(args: argparse.Namespace) -> int:
    """One of `build`, `peek`, `stats`, `clean`. Raises MtrayError naming what is wrong."""
    if args.action == "clean":
        from mtray.commands.data_clean import clean

        return clean(args.days, args.max_gb, args.yes)
    from mtray.replay import with_replay
    from mtray.training.models import load_tokenizer

    study = with_replay(load_study(args.study, model=args.model, seed=args.seed), print)
    wanted = chosen(study, args.source)
    recipe = recipe_of(args.recipe, study) if args.action != "build" else None
    tokenizer = load_tokenizer(study.model, study.trust_remote_code)
    if args.action == "build":
        build(study, wanted, tokenizer, shots_wanted(study, args.space))
    elif args.action == "peek":
        from mtray.commands.data_peek import peek

        peek(study, wanted, tokenizer, args.rows, recipe)
    else:
        space = load_space(args.space, study.defaults) if args.space else None
        stats(study, wanted, tokenizer, recipe, space)
    return 0


def chosen(study: Study, name: str | None) -> tuple[Source, ...]:
    """The sources that were asked for: one, or all."""
    found = tuple(s for s in study.sources if name in (None, s.name))
    if not found:
        raise ConfigError(
            f"--source: the study has no source {name!r}; it has "
            f"{', '.join(s.name for s in study.sources)}"
        )
    return found


def recipe_of(pairs: Sequence[str], study: Study) -> Recipe | None:
    """A recipe of `key=value`, put over the study's defaults; None where nothing was given."""
    if not pairs:
        return None
    given: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or key not in Recipe.model_fields:
            allowed = ", ".join(Recipe.model_fields)
            raise ConfigError(f"--recipe: expected KEY=VALUE with a key of {allowed}; found {pair}")
        given[key] = value
    known = {k: v for k, v in study.defaults.items() if k in Recipe.model_fields}
    try:
        return Recipe.model_validate({"parallel_size": 1000, **known, **given})
    except ValueError as error:
        reason = "; ".join(str(error).splitlines()[1:3])
        raise ConfigError(f"--recipe {' '.join(pairs)}: {reason}") from None


def tables_of(
    study: Study, sources: Sequence[Source], tokenizer: Any, *recipes: Recipe | None
) -> dict[str, StoredTable]:
    few_shot = any(recipe is not None and recipe.few_shot_share > 0 for recipe in recipes)
    only = study.model_copy(update={"sources": tuple(sources)})
    return build_store(only, tokenizer, say=print, few_shot=few_shot)


def shots_wanted(study: Study, space: Path | None) -> bool:
    """Whether some recipe shows pairs after others, as far as that is known: by the space, the
    study's defaults, or a source that says how many `shots`."""
    if space is not None:
        largest = largest_recipes(load_space(space, study.defaults))
        return any(recipe.few_shot_share > 0 for recipe in largest)
    asked = any("shots" in source.model_fields_set for source in study.sources)
    return asked or float(study.defaults.get("few_shot_share", 0)) > 0


def build(study: Study, sources: Sequence[Source], tokenizer: Any, few_shot: bool) -> None:
    """Build what is not there, and say what every store holds."""
    pipeline = Pipeline(study, tokenizer)
    print(f"stores in {store_dir()}")
    for source in sources:
        for shown in (False, True) if few_shot and takes_shots(source) else (False,):
            found = pipeline.store(source, shown)
            print("\n".join(_store_lines(source.name + SUFFIX * shown, found, study)))


def _store_lines(name: str, found: Store, study: Study) -> list[str]:
    made = found.manifest
    how = "built" if found.built else f"reused, built {made['built']}"
    speed = made["rows"] / max(1e-9, made["seconds"])
    lines = [
        f"{name}: {made['examples']:,} examples, {made['tokens']:,} tokens, "
        f"{made['bytes'] / 1e6:,.1f} MB ({how}: {made['seconds']:.1f} s, {speed:,.0f} rows/s)",
        *(f"  {line}" for line in made["told"]),
        *(f"    {overlap}" for overlap in made["overlaps"]),
    ]
    if long := made["rows"] - made["examples"]:
        lines.append(f"  {long:,} examples over {study.training.max_length} tokens are left out")
    return [*lines, f"  {found.folder}"]


def stats(
    study: Study,
    sources: Sequence[Source],
    tokenizer: Any,
    recipe: Recipe | None,
    space: Space | None,
) -> None:
    """Examples, tokens and lengths of every source, the mix of a recipe, and the most that any
    recipe of a space asks for."""
    import numpy as np

    largest = largest_recipes(space) if space else ()
    needed = study.sources if recipe or space else sources
    tables = tables_of(study, needed, tokenizer, recipe, *largest)
    head = ["source", "kind", "languages", "examples", "too long", "MB", "tokens", "mean"]
    rows = [[*head, *(f"p{p}" if p < 100 else "max" for p in PERCENTILES)]]
    for source in sources:
        lengths = tables[source.name].lengths()
        cells = [f"{v:,.0f}" for v in np.percentile(lengths, PERCENTILES)]
        rows.append([
            source.name, source.kind, "-".join(source.languages) or "?", f"{len(lengths):,}",
            f"{tables[source.name].dropped:,}", f"{tables[source.name].megabytes:,.1f}",
            f"{lengths.sum():,}", f"{lengths.mean():.1f}", *cells,
        ])  # fmt: skip
    print("\n".join(aligned(rows, left=3)))
    stores = kept_stores(store_dir())
    size = sum(kept.bytes for kept in stores) / 1e6
    print(f"{store_dir()}: {len(stores):,} stores, {size:,.1f} MB (`mtray data clean`)")
    if recipe:
        _, mix = mixed(study, tables, recipe)
        print("\n".join(mix_lines(recipe, mix)))
    if largest:
        most = most_asked(largest, study, tables)
        print("\n".join(["", "at most, for any recipe of the space:", *most_lines(most, tables)]))


def most_lines(most: Mapping[str, int], tables: Mapping[str, StoredTable]) -> list[str]:
    """What is asked of every source beside what it has."""
    rows = [["source", "asked", "examples", "repeats"]]
    for name, count in most.items():
        has = len(tables[name])
        rows.append([name, f"{count:,}", f"{has:,}", f"{count / max(1, has):.3g}"])
    return aligned(rows, left=1)


def mix_lines(recipe: Recipe, mix: Mix) -> list[str]:
    """The realised mix, with shares of examples and tokens."""
    knobs = ("parallel_size", "mono_ratio", "replay_fraction")
    rows = [["source", "kind", "requested", "realised", "tokens", "of examples", "of tokens",
             "repeats"]]  # fmt: skip
    for s in mix.shares:
        asked = f"{s.requested:,.2f}"
        if s.requested_tokens is not None:
            asked = f"{s.requested_tokens:,.1f} tokens"
        rows.append([
            s.source, s.kind, asked, f"{s.realised:,}", f"{s.tokens:,}",
            f"{s.realised / max(1, mix.examples):.1%}", f"{s.tokens / max(1, mix.tokens):.1%}",
            f"{s.repeats:.3g}",
        ])  # fmt: skip
    told = ", ".join(f"{knob} {getattr(recipe, knob):g}" for knob in knobs)
    total = f"{mix.examples:,} examples, {mix.tokens:,} tokens"
    return ["", f"mix of {told}: {total}", *aligned(rows, left=2)]


def aligned(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Columns side by side, the first `left` of them to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
