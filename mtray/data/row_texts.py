"""The texts of a trial's examples. Token stores hold ids alone; the text of a row comes from the
pipeline that wrote the store, read once more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from mtray.data.few_shot import FewShotTable
from mtray.data.length_fitting import Example
from mtray.data.pipeline import Pipeline
from mtray.data.recipe_tables import FittingTable
from mtray.data.store import wanted_variants
from mtray.data.tables import Examples, StoredTable, Table
from mtray.data.tokenization import encode_examples
from mtray.data.variant_tables import VariantTable
from mtray.errors import DataError
from mtray.schema import Recipe, Study

CHECKED = 1024  # examples that are tokenised again at once


def stored_row(table: Table, row: int) -> tuple[StoredTable, int]:
    """The store that an example of any table of a recipe is read from, and its row in the store's
    file. Raises TypeError for a table in memory, which knows no file."""
    while isinstance(table, FittingTable | FewShotTable | VariantTable):
        table, row = table.within(row)
    if not isinstance(table, StoredTable):
        raise TypeError(f"{type(table).__name__} has no file")
    return table, table.file_row(row)


def row_texts(
    examples: Examples,
    places: Iterable[int],
    store: Mapping[str, Table],
    study: Study,
    recipe: Recipe,
    tokenizer: Any,
) -> dict[int, Example]:
    """Prompt and target of the examples at `places`, by place. `study`: that which the store was
    built from; every source that an example is from is read and rendered once more. Raises
    DataError where a text does not give the example's ids."""
    wanted: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place in places:
        table, row = stored_row(*examples.drawn_from(place))
        wanted[table.key][row].append(place)
    pipeline, found = Pipeline(study, tokenizer), dict[int, Example]()
    for name, (source, variant) in wanted_variants(study, [recipe]).items():
        rows = wanted.pop(store[name].key, None)  # two sources may share a store
        if rows is None:
            continue
        rendered = islice(pipeline.examples(source, {}, variant), max(rows) + 1)
        for row, pair in enumerate(rendered):
            found.update(dict.fromkeys(rows.get(row, ()), Example(*pair)))
    _check(examples, found, tokenizer)
    return found


def _check(examples: Examples, texts: Mapping[int, Example], tokenizer: Any) -> None:
    places = list(texts)
    for start in range(0, len(places), CHECKED):
        some = places[start : start + CHECKED]
        encoded = encode_examples(tokenizer, [texts[place] for place in some])
        for place, (ids, loss_from) in zip(some, encoded, strict=True):
            known, known_from = examples[place]
            if (ids, loss_from) != (known.tolist(), known_from):
                raise DataError(
                    f"the text {texts[place].target[:40]!r} has other token ids than the trial was "
                    "trained on; a source's file or the tokenizer has changed while it was read: "
                    "start again"
                )
