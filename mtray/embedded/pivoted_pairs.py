"""Spanish-Ukrainian pairs from the corpora of the default study: sentences that are translations of
one English sentence. For the small study of several languages at once (2305.15083)."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import defaultdict
from pathlib import Path

# the corpora's splits are by the English sentence, so no pair of one split has a side in another
SPLITS = ("pretrain", "finetune", "dev")

Row = dict[str, str]


def pivoted(spanish: list[Row], ukrainian: list[Row]) -> list[Row]:
    """One pair for each English sentence that both have, with the keys `es` and `uk`, each text
    once, in an order that does not depend on the files'. Rows have `en` beside `es` or `uk`."""
    by_english = {row["en"].strip().lower(): row["uk"] for row in reversed(ukrainian)}
    found: dict[str, Row] = {}
    used = defaultdict[str, set[str]](set)
    for row in spanish:
        english, text = row["en"].strip().lower(), row["es"]
        other = by_english.get(english)
        if other and english not in found and text not in used["es"] and other not in used["uk"]:
            found[english] = {"es": text, "uk": other}
            used["es"].add(text)
            used["uk"].add(other)
    return sorted(found.values(), key=_place)


def _place(row: Row) -> bytes:
    return hashlib.sha256("\t".join(row.values()).encode()).digest()


def prepare(corpora: Path, target: Path) -> Path:
    """Create `es-uk.SPLIT.parquet` for every split, unless they exist."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    target.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        file = target / f"es-uk.{split}.parquet"
        if file.is_file():
            continue
        sides = (corpora / f"parallel.en-{code}.{split}.parquet" for code in ("es", "uk"))
        rows = pivoted(*(pq.read_table(side).to_pylist() for side in sides))
        with tempfile.TemporaryDirectory(dir=target, prefix=".made-") as scratch:
            made = Path(scratch) / file.name
            pq.write_table(pa.Table.from_pylist(rows), made, compression="zstd")
            os.replace(made, file)
    return target
