"""`data`: the token stores of a study's sources: build them, look at their examples, and count."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtray.commands.data_tables import (
    chosen,
    default_recipe,
    mix_lines,
    most_lines,
    recipe_of,
    tables_of,
)
from mtray.data.pipeline import Pipeline
from mtray.data.rendering_checks import check_renderings
from mtray.data.shards import Helpers
from mtray.data.store import mixed, wanted_draws, wanted_variants
from mtray.data.store_builder import builders_text
from mtray.data.store_usage import all_stores
from mtray.data.token_files import Store, store_dir
from mtray.report.printing import aligned
from mtray.run_files import RUNS
from mtray.run_models import with_run_models
from mtray.schema import Recipe, Source, Study
from mtray.search.execution.cluster_address import check_address
from mtray.search.execution.shard_tasks import shard_tasks
from mtray.search.strategy.largest_recipes import (
    counts_tokens,
    largest_recipes,
    most_requested,
)
from mtray.search_space.extreme_recipes import rendering_recipes
from mtray.search_space.space import Space, load_space
from mtray.study import load_study

PERCENTILES = (5, 25, 50, 75, 95, 99, 100)


def run_data(args: argparse.Namespace) -> int:
    """Run `build`, `peek`, `stats` or `clean`. Raises MtrayError naming what is wrong."""
    if args.action == "clean":
        from mtray.commands.data_clean import clean

        return clean(args.days, args.max_gb, args.yes)
    if args.action == "build" and args.address:
        check_address(args.address)
    from mtray.embedded.corpora import fetch_corpora
    from mtray.generated_replay import with_replay
    from mtray.training.models import load_tokenizer

    study = with_run_models(load_study(args.study, model=args.model, seed=args.seed), RUNS)
    fetch_corpora(study)
    study = with_replay(study, print)
    wanted = chosen(study, args.source)
    recipe = recipe_of(args.recipe, study) if args.action != "build" else None
    tokenizer = load_tokenizer(study.model, study.trust_remote_code)
    if args.action == "build":
        recipes = recipes_wanted(study, args.space)
        with shard_tasks(args.address, study.resources, print) as tasks:
            build(study, wanted, tokenizer, recipes, tasks)
    elif args.action == "peek":
        from mtray.commands.data_peek import peek

        peek(study, wanted, tokenizer, args.rows, recipe)
    else:
        space = load_space(args.space, study.defaults, study.sources) if args.space else None
        stats(study, wanted, tokenizer, recipe, space)
    return 0


def recipes_wanted(study: Study, space: Path | None) -> list[Recipe]:
    """Recipes that have every rendering which a recipe of the space may have; without a space, the
    study's defaults, with shots where a source sets `shots`."""
    if space is not None:
        return rendering_recipes(load_space(space, study.defaults, study.sources))
    found = default_recipe(study)
    if any("shots" in source.model_fields_set for source in study.sources):
        found = found.model_copy(update={"few_shot_share": 1.0})
    return [found]


def build(
    study: Study,
    sources: Sequence[Source],
    tokenizer: Any,
    recipes: Sequence[Recipe],
    helpers: Helpers | None = None,
) -> None:
    """Build missing stores, and print what every store holds."""
    check_renderings(recipes, study, tokenizer)
    pipeline = Pipeline(study, tokenizer, print, helpers)
    print(f"stores in {store_dir()}")
    names = {source.name for source in sources}
    for name, (source, variant) in wanted_variants(study, recipes).items():
        if source.name in names:
            print("\n".join(_store_lines(name, pipeline.store(source, variant), study)))
    for name, (source, joins) in wanted_draws(study, recipes).items():
        if source.name in names:
            print("\n".join(_store_lines(name, pipeline.draws(source, joins), study)))


def _store_lines(name: str, found: Store, study: Study) -> list[str]:
    made = found.manifest
    how = "built" if found.built else f"reused, built {made['built']}"
    speed = made["rows"] / max(1e-9, made["seconds"])
    by = builders_text(made.get("builders", {}))
    lines = [
        f"{name}: {made['examples']:,} examples, {made['tokens']:,} tokens, "
        f"{made['bytes'] / 1e6:,.1f} MB ({how}: {made['seconds']:.1f} s, {speed:,.0f} rows/s{by})",
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
    """Examples, tokens and lengths of every source, the mix of a recipe, and the largest amounts
    that any recipe of a space asks for."""
    import numpy as np

    largest = largest_recipes(space, counts_tokens(study)) if space else ()
    needed = study.sources if recipe or space else sources
    rendered = rendering_recipes(space) if space else ()
    tables = tables_of(study, needed, tokenizer, recipe, *rendered)
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
    stores = all_stores(store_dir())
    size = sum(kept.bytes for kept in stores) / 1e6
    print(f"{store_dir()}: {len(stores):,} stores, {size:,.1f} MB (`mtray data clean`)")
    if recipe:
        _, mix = mixed(study, tables, recipe)
        print("\n".join(mix_lines(recipe, mix)))
    if largest:
        most = most_requested(largest, study, tables)
        print("\n".join(["", "at most, for any recipe of the space:", *most_lines(most, tables)]))
