"""Spanish-Ukrainian pairs from the corpora of the default study: sentences that are translations of
one English sentence. For the small study of several languages at once (2305.15083)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mtray.embedded.row_tables import Row, by_content, write_rows

# the corpora's splits are by the English sentence, of which "¡Hola!" translates several: a text
# stays in the first of these that has it
SPLITS = ("dev", "finetune", "pretrain")


def pivoted(spanish: list[Row], ukrainian: list[Row], used: set[str]) -> list[Row]:
    """One pair for each English sentence that both have, with the keys `es` and `uk`, in an order
    that does not depend on the files'. Each text stands once, and none that was `used`, to which
    they are added. Rows have `en` beside `es` or `uk`."""
    by_english = {row["en"].strip().lower(): row["uk"] for row in reversed(ukrainian)}
    found: dict[str, Row] = {}
    for row in spanish:
        english, text = row["en"].strip().lower(), row["es"]
        other = by_english.get(english)
        if other and english not in found and not {_key(text), _key(other)} & used:
            found[english] = {"es": text, "uk": other}
            used |= {_key(text), _key(other)}
    return by_content(found.values())


def split_pairs(sides: Mapping[str, tuple[list[Row], list[Row]]]) -> dict[str, list[Row]]:
    """The pairs of every split, from its rows of both languages; no text is in two of them."""
    used: set[str] = set()
    return {split: pivoted(*sides[split], used) for split in SPLITS}


def _key(text: str) -> str:
    """Equal for texts that differ in case alone."""
    return text.strip().lower()


def prepare(corpora: Path, target: Path) -> Path:
    """Create `es-uk.SPLIT.parquet` for every split, unless they exist."""
    import pyarrow.parquet as pq

    if all(_file(target, split).is_file() for split in SPLITS):
        return target
    target.mkdir(parents=True, exist_ok=True)

    def rows(code: str, split: str) -> list[Row]:
        found: list[Row] = pq.read_table(
            corpora / f"parallel.en-{code}.{split}.parquet"
        ).to_pylist()
        return found

    sides = {split: (rows("es", split), rows("uk", split)) for split in SPLITS}
    with tempfile.TemporaryDirectory(dir=target, prefix=".made-") as scratch:
        for split, pairs in split_pairs(sides).items():
            made = _file(Path(scratch), split)
            write_rows(pairs, made)
            os.replace(made, _file(target, split))
    return target


def _file(folder: Path, split: str) -> Path:
    return folder / f"es-uk.{split}.parquet"
