"""Sources as token ids: read and tokenised once per study, then shared by all trials (Ray's object
store maps the arrays)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mtray.data.mixing import Part, draw, source_order
from mtray.data.rendering import translation_prompt
from mtray.data.sources import read_columns
from mtray.errors import DataError
from mtray.schema import Mix, Source, SourceShare

if TYPE_CHECKING:
    from mtray.schema import Study


@dataclass(frozen=True)
class TokenTable:
    """A source's examples end to end, in the study's order of that source.

    `ids` (tokens,), `ends` (examples,) exclusive ends, `loss_from` (examples,): the position in the
    example before which no loss is taken (the prompt of a pair). `dropped` examples were too long;
    `available` is what the source holds without them, of which the table may be the beginning."""

    ids: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int64]
    loss_from: npt.NDArray[np.int32]
    dropped: int
    available: int

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


def build_table(
    texts: Sequence[tuple[str, str]], tokenizer: Any, max_length: int, wanted: int | None = None
) -> TokenTable:
    """Tokenise (prompt, target) pairs in order, at least the first `wanted` that are short enough.

    Examples over `max_length` tokens are left out and counted."""
    from mtray.data.tokenise import encode_examples

    kept: list[tuple[list[int], int]] = []
    seen = 0
    step = len(texts) if wanted is None else wanted + wanted // 50 + 16
    while seen < len(texts) and (wanted is None or len(kept) < wanted):
        encoded = encode_examples(tokenizer, texts[seen : seen + step])
        kept += [(ids, start) for ids, start in encoded if len(ids) <= max_length]
        seen = min(len(texts), seen + step)
    if not kept and wanted != 0:
        raise DataError(
            f"no example has {max_length} tokens or fewer; raise `training: {{max_length: ...}}`"
        )
    dropped = seen - len(kept)
    return TokenTable(
        ids=np.concatenate(
            [np.asarray(ids, np.int32) for ids, _ in kept] or [np.empty(0, np.int32)]
        ),
        ends=np.cumsum([len(ids) for ids, _ in kept], dtype=np.int64),
        loss_from=np.asarray([start for _, start in kept], np.int32),
        dropped=dropped,
        available=len(texts) - dropped,
    )


def build_store(
    study: Study, tokenizer: Any, wanted: Mapping[str, int] | None = None
) -> dict[str, TokenTable]:
    """Every source of the study, by name, in the study's order. `wanted` bounds the examples of
    each source that are tokenised: no trial draws more than the largest recipe."""
    store = {}
    for source in study.sources:
        texts = source_texts(source, study.template)
        order = source_order(study.seed, source.name, len(texts))
        ordered = [texts[i] for i in order]
        count = wanted[source.name] if wanted is not None else None
        store[source.name] = build_table(ordered, tokenizer, study.training.max_length, count)
    return store


def select(
    store: Mapping[str, TokenTable], parts: Sequence[Part], allow_repeats: bool
) -> tuple[list[tuple[npt.NDArray[np.int32], int]], Mix]:
    """The examples of a plan, source by source, and the mix as it was realised."""
    drawn = draw(parts, {name: len(table) for name, table in store.items()}, allow_repeats)
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
                available=table.available,
                tokens=int(table.lengths()[rows].sum()),
                repeats=len(rows) / max(1, table.available),
            )
        )
    return examples, Mix(shares=tuple(shares))
