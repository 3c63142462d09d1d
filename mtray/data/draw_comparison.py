"""Whether a repeated training draws the data that its record says, and if not, why.

A draw is identified by its digest (`SourceShare.digest`). Where digests are equal, store keys may
still differ: another version of the code or of a package can give the same tokens another key. A
record of an older version, without digests, is compared by its counts, and by its store key if that
store still exists.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mtray.data.mixing import Draw
from mtray.data.recipe_tables import rendered_tables
from mtray.data.store import mixed
from mtray.data.store_usage import MANIFEST
from mtray.data.tables import Table
from mtray.data.token_files import store_dir
from mtray.schema import Mix, Recipe, SourceShare, Study

COUNTS = (
    "kind", "requested", "requested_tokens", "realised", "few_shot", "directions", "noisy",
    "available", "held", "tokens",
)  # fmt: skip
ASKED = ("kind", "requested", "requested_tokens", "realised")  # for a source without examples drawn
ALLOWED = ("code", "versions")  # inputs of a store that can change without changing tokens
WORDS = {
    "filter": "its filters, or the evaluation texts of the leakage check",
    "evaluation_texts": "the evaluation texts of the leakage check",
    "code": "mtray's code",
    "tokenizer": "the tokenizer",
    "seed": "the study's seed",
    "name": "its name",
}


class Difference(NamedTuple):
    """The source and the key in which two mixes differ, both values, and the likely cause."""

    source: str
    key: str
    recorded: Any
    now: Any
    cause: str

    @property
    def text(self) -> str:
        message = f"source {self.source!r}: {self.key} was {_shown(self.recorded)}"
        return f"{message} and is {_shown(self.now)} now; {self.cause}"


class Comparison(NamedTuple):
    """The result of comparing two mixes.

    - `difference`: the first one that makes it a different training; None: there is none.
    - `notes`: harmless differences, and what could not be compared.
    """

    difference: Difference | None = None
    notes: tuple[str, ...] = ()


def drawn_again(
    recorded: Mix, study: Study, store: Mapping[str, Table], recipe: Recipe, which: Draw
) -> Comparison:
    """Compare the mix of a record with what would be drawn for it from these sources."""
    if found := source_difference(recorded, rendered_tables(recipe, store, study)):
        return Comparison(found)  # there may be too few examples to draw
    return compared(recorded, mixed(study, store, recipe, which)[1])


def source_difference(recorded: Mix, tables: Mapping[str, Table]) -> Difference | None:
    """The first source that was drawn from and whose number of examples has changed; `tables` are
    those that the recipe draws from."""
    for share in recorded.shares:
        table = tables.get(share.source)
        if share.realised and table is not None and share.available != table.available:
            why = cause(share.store_key.split("+")[0], table.key)
            return Difference(share.source, "available", share.available, table.available, why)
    return None


def compared(recorded: Mix, now: Mix) -> Comparison:
    """Compare the mix of a record with one drawn for the same recipe, seed and replicate."""
    if not recorded.shares:
        reason = "the record has no mix, so the present draw cannot be compared with it"
        return Comparison(notes=(reason,))
    before, after = ({s.source: s for s in mix.shares} for mix in (recorded, now))
    # ignore sources that only one of the studies has and that the recipe does not use
    for side, other in ((before, after), (after, before)):
        for source in [s for s in side if s not in other and not side[s].requested]:
            del side[source]
    for source in dict.fromkeys([*before, *after]):
        if source not in before or source not in after:
            was, is_now = (_presence(source in shares) for shares in (before, after))
            return Comparison(Difference(source, "it", was, is_now, "the study has changed"))
    pairs = [(before[source], after[source]) for source in before]
    for old, new in pairs:
        if found := _difference(old, new):
            return Comparison(found)
    return Comparison(notes=tuple(_notes(pairs)))


def _presence(there: bool) -> str:
    return "in the mix" if there else "not in the mix"


def _difference(old: SourceShare, new: SourceShare) -> Difference | None:
    keys: tuple[str, ...] = COUNTS if old.realised or new.realised else ASKED
    if not old.held:  # not recorded
        keys = tuple(key for key in keys if key != "held")
    if old.digest:
        keys = (*keys, "digest")
    for key in keys:
        was, now = getattr(old, key), getattr(new, key)
        if was != now:
            why = cause(old.store_key, new.store_key, key in ASKED)
            return Difference(old.source, key, was, now, why)
    if old.digest or not old.realised or old.store_key == new.store_key:
        return None
    changed = changed_inputs(old.store_key, new.store_key) or {}
    if all(key.split(".")[0] in ALLOWED for key in changed):
        return None
    why = cause(old.store_key, new.store_key)
    return Difference(old.source, "store_key", old.store_key, new.store_key, why)


def _notes(pairs: Sequence[tuple[SourceShare, SourceShare]]) -> Iterator[str]:
    drawn = [(old, new) for old, new in pairs if old.realised]
    if without := [old.source for old, _ in drawn if not old.digest]:
        yield (
            "the record is of an older version, without digests of the draw, so only "
            f"the counts of {', '.join(without)} were compared"
        )
    for old, new in drawn:
        if old.store_key and new.store_key and old.store_key != new.store_key:
            same = "the tokens drawn are the same" if old.digest else "all counts are the same"
            yield (
                f"source {old.source}: {same} as recorded, but from another token store; "
                f"{cause(old.store_key, new.store_key)}"
            )


def cause(old_key: str, new_key: str, asked: bool = False) -> str:
    """Why the draws from two stores differ, as far as it is known; `asked`: the requests themselves
    differ, before anything was drawn."""
    if old_key and old_key == new_key:
        if asked:
            return "the run's study.json, the record or mtray's code has changed"
        return (
            "its token store is the same one, so another numpy or other code of mtray orders it "
            "differently, or it was made again from a data set on a hub that has changed"
        )
    changed = changed_inputs(old_key, new_key)
    if changed:
        return "changed since: " + ", ".join(_words(key, *pair) for key, pair in changed.items())
    return (
        "its file, an evaluation file, the tokenizer, a package or mtray itself has changed (the "
        f"store {old_key or 'of the record'} is not in {store_dir()} any more, which would tell)"
    )


def changed_inputs(old_key: str, new_key: str) -> dict[str, tuple[Any, Any]] | None:
    """The inputs in which two stores differ, by key (`versions.transformers`), with both values;
    for a source with shots (`KEY+KEY`), of both its stores. None where a store does not exist any
    more."""
    changed: dict[str, tuple[Any, Any]] = {}
    for pair in zip(old_key.split("+"), new_key.split("+"), strict=False):
        old, new = map(_inputs, pair)
        if old is None or new is None:
            return None
        keys = dict.fromkeys([*old, *new])
        changed |= {k: (old.get(k), new.get(k)) for k in keys if old.get(k) != new.get(k)}
    return changed


def _inputs(key: str) -> dict[str, Any] | None:
    try:
        manifest = json.loads((store_dir() / key / MANIFEST).read_text(encoding="utf-8"))
        return dict(_flat(manifest["inputs"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _flat(node: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _words(key: str, was: Any, now: Any) -> str:
    first, _, rest = key.partition(".")
    if first == "source":
        path = any(part == "path" or part.endswith("_path") for part in rest.split("."))
        return "the content of its file" if path else f"its key {rest}"
    if first == "versions":
        return f"{rest} ({was or 'not counted'}, now {now or 'not counted'})"
    return WORDS.get(first, first)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,g}"
    return f"{value:,}" if isinstance(value, int) else f"{value}"
