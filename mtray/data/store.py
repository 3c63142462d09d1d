"""Sources as token ids: read and tokenised once per study, then shared by all trials (Ray's object
store maps the arrays)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mtray.data.mixing import OWN_DRAW, Draw, Part, draw, source_order
from mtray.data.rendering import translation_prompt
from mtray.data.sources import paths_of, read_columns
from mtray.data.testsets import is_named
from mtray.errors import DataError
from mtray.schema import AbilitySpec, Mix, Source, SourceShare

if TYPE_CHECKING:
    from mtray.schema import Study

SMALL = 1 << 20  # bytes of a source that is read twice: once to check it, once to tokenise it


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


def columns_of(source: Source) -> list[str]:
    """The columns that a source is read by: (source, target), (prompt, target) or (text)."""
    return [source.columns.get(role, role) for role in source.roles]


def source_texts(source: Source, template: str) -> list[tuple[str, str]]:
    """(prompt, target) of every row; the prompt of monolingual text is empty."""
    columns = columns_of(source)
    rows = read_columns(source.path, columns)
    if source.kind == "mono":
        return [("", row[columns[0]]) for row in rows]
    prompt, target = columns
    if source.pool == "replay":
        return [(row[prompt], row[target]) for row in rows]
    a, b = source.languages
    return [(translation_prompt(row[prompt], a, b, template), row[target]) for row in rows]


def ability_paths(spec: AbilitySpec) -> list[str]:
    """`path` and every option that ends in `_path`, however deep it stands; those of `test` too."""

    def within(node: object) -> Iterator[str]:
        for key, value in node.items() if isinstance(node, Mapping) else ():
            if not (str(key) == "path" or str(key).endswith("_path")):
                yield from within(value)
            elif isinstance(value, str | Mapping):
                yield from paths_of(value)

    return [*paths_of(spec.path), *within(spec.test), *within(spec.model_extra)]


def _is_there(path: Path) -> bool:
    """Whether there is such a file, a folder, or files whose names it begins (the stem of
    line-parallel files: `STEM.en`, `STEM.formal.de`)."""
    if path.exists() or not path.parent.is_dir():
        return path.exists()
    return any(entry.name.startswith(f"{path.name}.") for entry in path.parent.iterdir())


def check_files(study: Study) -> None:
    """Every file of the study is there, and its small sources can be read: what goes wrong most
    often, before anything slow is imported. Raises DataError."""
    evaluation = study.evaluation
    paths: list[str | dict[str, str]] = [s.path for s in study.sources]
    sets = [q.path for q in evaluation.quality if not is_named(q.path)]  # may be folders
    files = [Path(p) for found in paths for p in paths_of(found)]
    absent = [file for file in files if not file.is_file()]
    absent += [Path(p) for found in sets for p in paths_of(found) if not Path(p).exists()]
    used = [p for spec in evaluation.abilities.values() for p in ability_paths(spec)]
    absent += [Path(p) for p in used if not _is_there(Path(p))]
    if absent:
        raise DataError(f"{absent[0]}: no such file")
    for source in study.sources:
        if sum(Path(p).stat().st_size for p in paths_of(source.path)) <= SMALL:
            read_columns(source.path, columns_of(source))


def build_table(
    texts: Sequence[tuple[str, str]], tokenizer: Any, max_length: int, wanted: int | None = None
) -> TokenTable:
    """Tokenise (prompt, target) pairs in order: the first `wanted` that are short enough, or all.

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
    kept = kept[:wanted]
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
    store: Mapping[str, TokenTable],
    parts: Sequence[Part],
    allow_repeats: bool,
    which: Draw = OWN_DRAW,
) -> tuple[list[tuple[npt.NDArray[np.int32], int]], Mix]:
    """The examples of a plan, source by source, and the mix as it was realised."""
    drawn = draw(parts, {name: len(table) for name, table in store.items()}, allow_repeats, which)
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
                held=len(table),
                tokens=int(table.lengths()[rows].sum()),
                repeats=len(rows) / max(1, table.available),
            )
        )
    return examples, Mix(shares=tuple(shares))
