"""ctxpro's evaluation sets (Wicks and Post 2023) in their published format: `evalsets/*.json`, a
list of items, and `inputs/*`, one item a line, whose sentences are joined by `<eos> `. Only the
last sentence is scored.

An item has `src segment`, `ref segment`, `expected` (the word that a translation must contain),
`rule` and `document id`; some sets give the distance of the antecedent (`ante distance` in
sentences, `intrasegmental`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtray.data.readers.lines import read_lines, read_text
from mtray.errors import DataError

SEPARATOR = "<eos>"
KEYS = ("src segment", "ref segment", "expected", "rule", "document id")


@dataclass(frozen=True)
class Item:
    """One sentence whose translation must contain `expected`.

    - `context`: the preceding sentences.
    - `within`: whether its antecedent is in the sentence itself; None where the set does not say.
    """

    source: str
    reference: str
    expected: str
    rule: str
    document: str
    within: bool | None = None
    context: tuple[str, ...] = ()


def read_items(path: Path) -> list[Item]:
    """The items of an evaluation set, without context. Raises DataError naming the item (counted
    from 1) and its key."""
    try:
        found = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    if not isinstance(found, list) or not found:
        raise DataError(f"{path}: expected a list with at least one item; this is not a ctxpro set")
    return [_item(path, number, raw) for number, raw in enumerate(found, 1)]


def _item(path: Path, number: int, raw: Any) -> Item:
    if not isinstance(raw, dict):
        raise DataError(f"{path}: item {number}: expected an object, found {type(raw).__name__}")
    for key in KEYS:
        if not isinstance(raw.get(key), str) or not raw[key].strip():
            raise DataError(
                f"{path}: item {number}: no text under {key!r}; keys there: {', '.join(raw)}"
            )
    source, reference, expected, rule, document = (raw[key] for key in KEYS)
    return Item(source, reference, expected, rule, document, _within(path, number, raw))


def _within(path: Path, number: int, raw: dict[str, Any]) -> bool | None:
    inside, distance = raw.get("intrasegmental"), raw.get("ante distance")
    if inside is not None and not isinstance(inside, bool):
        raise DataError(
            f"{path}: item {number}: `intrasegmental` must be true or false, found {inside!r}"
        )
    if distance is not None and (isinstance(distance, bool) or not isinstance(distance, int)):
        raise DataError(
            f"{path}: item {number}: `ante distance` must be a whole number, found {distance!r}"
        )
    if inside is None:
        return None if distance is None else distance == 0
    return inside or distance == 0


def with_context(items: Sequence[Item], items_path: Path, path: Path) -> list[Item]:
    """The items with their preceding sentences, from a file of inputs. Raises DataError when the
    file does not have one line for every item, or a line ends in a sentence other than its
    item's."""
    lines = read_lines(path)
    if len(lines) != len(items):
        raise DataError(
            f"{items_path} has {len(items):,} items, {path} has {len(lines):,} lines; "
            "expected a line for each item"
        )
    found = []
    for number, (item, line) in enumerate(zip(items, lines, strict=True), 1):
        *before, last = (" ".join(part.split()) for part in line.split(SEPARATOR))
        if last != " ".join(item.source.split()):
            raise DataError(
                f"{path}:{number}: ends in {last[:60]!r}, but item {number} of {items_path} is "
                f"{item.source[:60]!r}; use the inputs file that belongs to the items"
            )
        found.append(replace(item, context=tuple(part for part in before if part)))
    return found
