"""The data of the small two-phase study (2410.16006), from the corpora of the default study:
English pairs for phase 1, pairs of another language for phase 2, and the English versions of phase
2's prompts, for replay.

The paper's first phase is English instructions. The embedded model follows none, so phase 1
teaches it one with English answers, a request for a translation from Ukrainian in a form that it
has never seen, and phase 2 the same with Ukrainian answers. No English sentence is in both, and
none of the replayed prompts asks for a sentence that is tested: the search for leakage does not
find a short one within the quotes of a prompt.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Collection
from pathlib import Path

from mtray.data.leakage import normalised
from mtray.data.templates import translation_prompt
from mtray.embedded.row_tables import Row, write_rows

LAST = "english.parquet"  # the file that is put in place last
TEMPLATE = "mfti_sentence"  # in which both phases ask; the embedded model knows `labels` alone
REPLAYED = 2_000  # prompts with an English answer


def phase_of(english: str) -> int:
    """1 or 2, by the hash of the English sentence, which is the same in every pair of it."""
    return 1 + hashlib.sha256(f"phase {english.strip().lower()}".encode()).digest()[0] % 2


def build_tables(pairs: list[Row], tested: Collection[str]) -> dict[str, list[Row]]:
    """The tables by file name. `pairs` have the keys `en` and `uk`; `tested`: Ukrainian texts of
    the test set."""
    held = {normalised(text) for text in tested}
    found: dict[str, list[Row]] = {"phase-1": [], "phase-2": []}
    for row in pairs:
        found[f"phase-{phase_of(row['en'])}"].append(row)
    replayed = [row for row in found["phase-2"] if normalised(row["uk"]) not in held]
    return found | {"english": [english_version(row) for row in replayed[:REPLAYED]]}


def english_version(row: Row) -> Row:
    """A pair of phase 2 as a task of phase 1: the same sentences, with the English answer."""
    return {"prompt": translation_prompt(row["uk"], "uk", "en", TEMPLATE), "target": row["en"]}


def prepare(corpora: Path, target: Path) -> Path:
    """Create the Parquet files unless they exist."""
    if (target / LAST).is_file():
        return target
    import pyarrow.parquet as pq

    pairs, tested = (
        pq.read_table(corpora / f"parallel.en-uk.{split}.parquet") for split in ("finetune", "dev")
    )
    tables = build_tables(pairs.to_pylist(), tested["uk"].to_pylist())
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".made-") as scratch:
        out = Path(scratch)
        for name, rows in tables.items():
            write_rows(rows, out / f"{name}.parquet")
        for file in sorted(out.iterdir(), key=lambda file: file.name == LAST):
            os.replace(file, target / file.name)
    return target
