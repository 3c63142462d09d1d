"""`data peek`: rows as the model will see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from rich.text import Text

from mtray.commands.data_tables import mix_lines, tables_of
from mtray.data.pipeline import Pipeline
from mtray.data.store import mixed
from mtray.data.tables import Example, StoredTable
from mtray.data.token_makers import encoded
from mtray.errors import ConfigError
from mtray.report.console import new_console
from mtray.schema import Recipe, Source, Study

PROMPT, TARGET, SPECIAL = "dim", "bold green", "bold magenta"


def peek(
    study: Study, sources: Sequence[Source], tokenizer: Any, rows: int, recipe: Recipe | None
) -> None:
    """Print the first rows of each source in the study's order or, with a recipe, the first that it
    draws from each source. A source without a store is read in file order, which is fast."""
    if rows < 1:
        raise ConfigError(f"--rows: expected 1 or more, found {rows}")
    console = new_console(highlight=False, soft_wrap=True)
    drawn = _drawn(study, tokenizer, rows, recipe) if recipe else {}
    for source in sources:
        found, where = drawn.get(source.name) or _first(study, source, tokenizer, rows)
        console.print(Text(f"\n{source.name} ({source.kind}): {where}", style="bold"))
        for number, example in enumerate(found, 1):
            console.print(shown(example, tokenizer, number))


def _drawn(
    study: Study, tokenizer: Any, rows: int, recipe: Recipe
) -> dict[str, tuple[list[Example], str]]:
    """The first examples that a trial of the recipe draws from each source; prints its mix."""
    examples, mix = mixed(study, tables_of(study, study.sources, tokenizer, recipe), recipe)
    print("\n".join(mix_lines(recipe, mix)))
    found: dict[str, tuple[list[Example], str]] = {}
    start = 0  # examples are ordered by source
    for share in mix.shares:
        first = [examples[start + i] for i in range(min(rows, share.realised))]
        found[share.source] = first, f"the first of {share.realised:,} drawn"
        start += share.realised
    return {s.name: found.get(s.name, ([], "none drawn")) for s in study.sources}


def _first(study: Study, source: Source, tokenizer: Any, rows: int) -> tuple[list[Example], str]:
    """A source's first examples, and the order they are in."""
    pipeline = Pipeline(study, tokenizer)
    if store := pipeline.found(source):
        made = store.manifest
        table = StoredTable(
            store.folder, source.name, study.seed, made["rows"], made["rows"] - made["examples"]
        )
        count = min(rows, len(table))
        return [table.example(i) for i in range(count)], "in the study's order"
    texts = islice(_short(pipeline, source), rows)
    return list(texts), "in the file's order (no store yet: `data build` makes one)"


def _short(pipeline: Pipeline, source: Source) -> Iterator[Example]:
    for pair in pipeline.examples(source, {}):
        ids, _, loss_from = encoded([pair], pipeline.tokenizer, pipeline.study.training.max_length)
        if len(ids):
            yield ids, int(loss_from[0])


def shown(example: Example, tokenizer: Any, number: int) -> Text:
    """An example's text: prompt dim, target bright and in ⟦brackets⟧, special tokens by name."""
    ids, loss_from = example
    # the first token of a text is never predicted
    start = max(1, loss_from)
    out = Text(f"[{number}] {len(ids)} tokens, loss on {len(ids) - start}\n", style="cyan")
    out.append_text(_decoded(ids[:start], tokenizer, PROMPT))
    out.append("⟦", SPECIAL)
    out.append_text(_decoded(ids[start:], tokenizer, TARGET))
    out.append("⟧", SPECIAL)
    return out


def _decoded(ids: Any, tokenizer: Any, style: str) -> Text:
    out, special = Text(), set(tokenizer.all_special_ids)
    marks = np.flatnonzero([int(i) in special for i in ids])
    start = 0
    for mark in [*marks.tolist(), len(ids)]:
        if mark > start:
            out.append(tokenizer.decode(ids[start:mark].tolist()), style)
        if mark < len(ids):
            out.append(tokenizer.convert_ids_to_tokens(int(ids[mark])), SPECIAL)
        start = mark + 1
    return out
