"""Sources as token ids: each is tokenised once (`mtray.data.pipeline`) into a store that all trials
and workers map into memory; a trial only selects rows of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtray.data.filter_counts import KEPT
from mtray.data.mixing import (
    OWN_DRAW,
    AllTokenSums,
    Draw,
    MixPart,
    Sums,
    SumsOf,
    draw,
    plan,
    shared_rows,
)
from mtray.data.readers.folders import data_files
from mtray.data.readers.sources import is_there, paths_of, source_rows
from mtray.data.recipe_tables import realised_counts, recipe_tables, whole_table
from mtray.data.tables import Examples, StoredTable, Table, TokenTable, digest_of, token_sums
from mtray.data.testsets import is_named
from mtray.data.token_files import Store
from mtray.data.tokenization import texts_tokenised
from mtray.data.variant_tables import draws_name
from mtray.data.variants import Variant, all_variants
from mtray.errors import DataError
from mtray.schema import (
    RENDERING_PARAMETERS,
    AbilitySpec,
    Mix,
    Recipe,
    Source,
    SourceShare,
)

if TYPE_CHECKING:
    from mtray.data.shards import Helpers
    from mtray.schema import Study

SMALL = 1 << 20  # bytes; smaller sources are read once more beforehand, as a check


def ability_paths(spec: AbilitySpec) -> list[str]:
    """`path` and every option that ends in `_path`, at any depth, including those of `test`."""

    def within(node: object) -> Iterator[str]:
        for key, value in node.items() if isinstance(node, Mapping) else ():
            if not (str(key) == "path" or str(key).endswith("_path")):
                yield from within(value)
            elif isinstance(value, str | Mapping):
                yield from paths_of(value)

    return [*paths_of(spec.path), *within(spec.test), *within(spec.model_extra)]


def _is_there(path: Path) -> bool:
    """Whether the path is a file (also in an archive), a folder, or a prefix of file names (the
    stem of line-parallel files: `STEM.en`, `STEM.formal.de`)."""
    if is_there(str(path)) or not path.parent.is_dir():
        return is_there(str(path))
    return any(entry.name.startswith(f"{path.name}.") for entry in path.parent.iterdir())


def check_files(study: Study) -> None:
    """Check that every file of the study exists and its small sources can be read. These are the
    most common errors, found before any slow import. Raises DataError."""
    evaluation = study.evaluation
    paths = [p for source in study.sources for p in _source_paths(source)]
    sets = [q.path for q in evaluation.quality if not is_named(q.path)]  # may be folders
    absent = [Path(p) for p in paths if not is_there(p)]
    absent += [Path(p) for found in sets for p in paths_of(found) if not is_there(p)]
    used = [p for spec in evaluation.abilities.values() for p in ability_paths(spec)]
    absent += [Path(p) for p in used if not _is_there(Path(p))]
    if absent:
        raise DataError(f"{absent[0]}: no such file")
    for source in study.sources:
        files = [Path(p) for p in paths_of(source.path)]
        for folder in filter(Path.is_dir, files):
            data_files(folder)  # DataError where it is no data set
        if all(f.is_file() for f in files) and sum(f.stat().st_size for f in files) <= SMALL:
            _check_rows(source)


def _source_paths(source: Source) -> list[str]:
    noise = [noise.path for noise in source.noises]
    return [path for path in (*paths_of(source.path), *noise) if path]


def _check_rows(source: Source) -> None:
    """DataError unless the source can be read and at least one row has text."""
    empty = True
    for row in source_rows(source):
        empty = empty and not all(text.strip() for text in row.values())
    if empty:
        raise DataError(
            f"{', '.join(paths_of(source.path))}: the corpus is empty (no row has text in "
            f"{', '.join(source.columns.get(role, role) for role in source.roles)})"
        )


def build_table(texts: Sequence[tuple[str, str]], tokenizer: Any, max_length: int) -> TokenTable:
    """A table in memory of (prompt, target) in their order. Examples over `max_length` tokens are
    dropped and counted."""
    from mtray.data.token_makers import encoded

    ids, lengths, loss_from = encoded(list(texts), tokenizer, max_length)
    kept = lengths > 0
    dropped = int((~kept).sum())
    return TokenTable(ids, np.cumsum(lengths[kept]), loss_from[kept], dropped, len(texts) - dropped)


def build_store(
    study: Study,
    tokenizer: Any,
    held: Mapping[str, int] | None = None,
    say: Callable[[str], None] = lambda _: None,
    recipes: Sequence[Recipe] = (),
    helpers: Helpers | None = None,
) -> dict[str, StoredTable]:
    """Every source of the study, by name, in the study's order, tokenised where no store exists;
    and what else `recipes` draw from: few-shot examples (`mtray.data.few_shot`) and the variants of
    each source (`mtray.data.variants`). `held`: how many examples of a source a recorded trial drew
    from, which the draw of a replicate depends on; all for sources without an entry. `helpers`:
    other processes that build parts of large stores."""
    from mtray.data.pipeline import Pipeline

    pipeline, store = Pipeline(study, tokenizer, say, helpers), {}
    wanted = wanted_variants(study, recipes)
    plain = (Variant(), Variant(few_shot=True))
    # trials that have others draw from all examples, and no table of them has as many as they
    rendered = {source.name for source, variant in wanted.values() if variant not in plain}
    for name, (source, variant) in wanted.items():
        most = None if source.name in rendered else (held or {}).get(source.name)
        store[name] = _stored(name, pipeline.store(source, variant), source, study, most, say)
    for name, (source, joins) in wanted_draws(study, recipes).items():
        store[name] = _stored(name, pipeline.draws(source, joins), source, study, None, say)
    return store


def _stored(
    name: str,
    found: Store,
    source: Source,
    study: Study,
    wanted: int | None,
    say: Callable[[str], None],
) -> StoredTable:
    from mtray.data.store_builder import builders_text

    made = found.manifest
    rows, seconds = made["rows"], made["seconds"]
    if found.built:
        by = builders_text(made["builders"])
        say(f"store of {name}: {rows:,} rows tokenised in {seconds:.1f} s{by} ({found.key})")
    else:
        say(f"store of {name}: reused ({found.key}, built {made['built']})")
    for line in made["told"]:
        say(f"  {line}")
    return StoredTable(
        found.folder, source.name, study.seed, rows, rows - made["examples"], wanted, found.built,
        {why: n for why, n in made["filters"].items() if why != KEPT}, made["allowed"],
        tuple(made["remarks"]), made["rendering"],
    )  # fmt: skip


def wanted_variants(study: Study, recipes: Sequence[Recipe]) -> dict[str, tuple[Source, Variant]]:
    """All variants that some recipes draw from by the names of their stores: the study's own of
    each source first. Raises ConfigError for a rendering that is impossible."""
    every = [(source, all_variants(recipes, source, study)[0]) for source in study.sources]
    found = {source.name: (source, Variant()) for source in study.sources}
    found |= {source.name + v.suffix: (source, v) for source, variants in every for v in variants}
    return found


def wanted_draws(study: Study, recipes: Sequence[Recipe]) -> dict[str, tuple[Source, bool]]:
    """The stores of draws for rows that some recipes need, likewise."""
    return {
        draws_name(source.name, joins): (source, joins)
        for source in study.sources
        for joins in all_variants(recipes, source, study)[1]
    }


def sums_of(study: Study, store: Mapping[str, Table], which: Draw = OWN_DRAW) -> Sums | None:
    """The token sums that `plan` needs; None where the study counts examples."""
    if study.mixing.count != "tokens":
        return None
    sums = token_sums(store, which)
    return AllTokenSums(sums) if study.mixing.parallel == "tokens" else sums


def sums_by_recipe(study: Study, store: Mapping[str, Table]) -> SumsOf:
    """`sums_of` for any recipe, since lengths depend on how it has its sources rendered, and it may
    leave out long examples. The last sums are cached."""
    if study.mixing.count != "tokens":
        return lambda recipe: None

    @lru_cache(maxsize=1)
    def of(alike: Recipe) -> Sums | None:
        return sums_of(study, recipe_tables(alike, store, study))

    return lambda recipe: of(_rendered_alike(recipe))


def _rendered_alike(recipe: Recipe) -> Recipe:
    """A recipe that draws from the same tables, and is the same for all that do."""
    same = {name: getattr(recipe, name) for name in (*RENDERING_PARAMETERS, "max_length")}
    weights = {"source_weights": recipe.source_weights} if recipe.directions else {}
    extra = recipe.model_extra if recipe.directions else {}
    return Recipe.model_validate({"parallel_size": 0, **same, **weights, **(extra or {})})


def select(
    store: Mapping[str, Table],
    parts: Sequence[MixPart],
    allow_repeats: bool,
    which: Draw = OWN_DRAW,
) -> tuple[Examples, Mix]:
    """The examples of a plan, source by source, and the realised mix."""
    before = texts_tokenised()
    drawn = draw(parts, {name: len(table) for name, table in store.items()}, allow_repeats, which)
    shares = []
    for part in parts:
        table, rows = store[part.source], drawn[part.source]
        whole = whole_table(table)
        shares.append(
            SourceShare(
                source=part.source,
                kind=part.kind,
                requested=part.requested,
                requested_tokens=part.requested_tokens,
                realised=len(rows),
                available=whole.available,
                held=len(whole),
                fitting=None if table is whole else len(table),
                shared=shared_rows(rows, which),
                tokens=int(table.lengths()[rows].sum()) if len(rows) else 0,
                repeats=len(rows) / max(1, table.available),
                store=table.origin,
                store_key=table.key,
                **realised_counts(table, rows),
                dropped=table.dropped,
                digest=digest_of(table, rows),
            )
        )
    examples = Examples([(store[part.source], drawn[part.source]) for part in parts])
    return examples, Mix(shares=tuple(shares), tokenised=texts_tokenised() - before)


def mixed(
    study: Study, store: Mapping[str, Table], recipe: Recipe, which: Draw = OWN_DRAW
) -> tuple[Examples, Mix]:
    """The examples of a recipe and its mix, as every trial draws them."""
    tables = recipe_tables(recipe, store, study)
    parts = plan(recipe, study.sources, sums_of(study, tables, which))
    return select(tables, parts, study.training.allow_repeats, which)
