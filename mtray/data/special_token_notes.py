"""Notes for a whole study on special tokens that occur as text (`mtray.data.special_tokens`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from mtray.data.evaluation_texts import evaluation_texts
from mtray.data.special_tokens import count_in, special_token_line, special_token_pattern
from mtray.data.tables import StoredTable
from mtray.schema import Study


def special_token_notes(
    study: Study, tokenizer: Any, store: Mapping[str, StoredTable]
) -> list[str]:
    """A note for each source, and one for the evaluation's dev segments."""
    notes = []
    for source in study.sources:
        if line := special_token_line(store[source.name].rendering, "rows"):
            notes.append(f"source {source.name}: {line}")
    pattern, counts = special_token_pattern(tokenizer), Counter[str]()
    for text in evaluation_texts(study, "dev") if pattern else ():
        count_in(pattern, [text.text], counts)
    if line := special_token_line(counts, "texts"):
        notes.append(f"evaluation: {line}")
    return notes
