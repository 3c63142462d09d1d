"""Sources as token ids: read and tokenised once per study, then shared by all trials (Ray's object store maps the arrays)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mtray.data.mixing import Part, draw
from mtray.data.rendering import translation_prompt
from mtray.data.sources import read_columns
from mtray.errors import DataError
from mtray.schema import Mix, Source, SourceShare

if TYPE_CHECKING:
    from mtray.schema import Study


@dataclass(frozen=True)
class TokenTable:
    """A source's examples end to end: `ids` (tokens,), `ends` (examples,) exclusive ends, and `loss_from` (examples,), the
    position in the example before which no loss is taken (the prompt of a pair; 0 for monolingual text)."""

    ids: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int64]
    loss_from: npt.NDArray[np.int32]
    dropped: int

    def __len__(self) -> int:
        return len(self.ends)

    def lengths(self) -> npt.NDArray[np.int64]:
        return np.diff(self.ends, prepend=0)

    def example(self, row: int) -> tuple[npt.NDArray[np.int32], int]:
        start = self.ends[row - 1] if row else 0
        return self.ids[start : self.ends[row]], int(self.loss_from[row])


def source_texts(source: Source, template: str) -> list[tuple[str, str]]:
    """(prompt, target) of every row; the prompt of monolingual text is empty."""
    columns = source.columns
    if source.kind == "mono":
        name = columns.get("text", "text")
        return [("", row[name]) for row in read_columns(source.path, [name])]
    if source.kind == "replay":
        prompt, target = columns.get("prompt", "prompt"), columns.get("target", "target")
        return [(r[prompt], r[target]) for r in read_columns(source.path, [prompt, target])]
    a, b = source.languages
    source_column, target_column = columns.get(a, a), columns.get(b, b)
    rows = read_columns(source.path, [source_column, target_column])
    return [(translation_prompt(r[source_column], a, b, template), r[target_column]) for r in rows]


def build_table(texts: Sequence[tuple[str, str]], tokenizer: Any, max_length: int) -> TokenTable:
    """Tokenise (prompt, target) pairs; examples over `max_length` tokens are left out and counted in `dropped`."""
    from mtray.data.tokenise import encode_examples

    encoded = encode_examples(tokenizer, texts)
    kept = [(ids, start) for ids, start in encoded if len(ids) <= max_length]
    if not kept:
        raise DataError(
            f"no example has {max_length} tokens or fewer; raise `training: {{max_length: ...}}`"
        )
    return TokenTable(
        ids=np.concatenate([np.asarray(ids, np.int32) for ids, _ in kept]),
        ends=np.cumsum([len(ids) for ids, _ in kept], dtype=np.int64),
        loss_from=np.asarray([start for _, start in kept], np.int32),
        dropped=len(encoded) - len(kept),
    )


def build_store(study: Study, tokenizer: Any) -> dict[str, TokenTable]:
    """Every source of the study, by name."""
    return {
        s.name: build_table(source_texts(s, study.template), tokenizer, study.training.max_length)
        for s in study.sources
    }


def select(
    store: Mapping[str, TokenTable], parts: Sequence[Part], seed: int, allow_repeats: bool
) -> tuple[list[tuple[npt.NDArray[np.int32], int]], Mix]:
    """The examples of a plan, source by source, and the mix as it was realised."""
    drawn = draw(parts, {name: len(table) for name, table in store.items()}, seed, allow_repeats)
    examples, shares = [], []
    for part in parts:
        table, rows = store[part.source], drawn[part.source]
        examples += [table.example(int(row)) for row in rows]
        shares.append(
            SourceShare(
                source=part.source,
                kind=part.kind,
                requested=part.requested,
                realised=len(rows),
                available=len(table),
                tokens=int(table.lengths()[rows].sum()),
                repeats=len(rows) / len(table),
            )
        )
    return examples, Mix(shares=tuple(shares))
