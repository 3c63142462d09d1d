"""Glossaries: pairs of a term and its translation, from CSV or TSV with a header.

The columns are TICO-19's `sourceString` and `targetString` (with `sourceLang` and `targetLang`,
only the rows of the direction are used), or `source` and `target`, or the two language codes.
"""

from __future__ import annotations

import re
from pathlib import Path

from mtray.data.readers.sources import read_columns
from mtray.data.readers.tables import separator_hint
from mtray.data.readers.whole_rows import header
from mtray.errors import DataError

LANGUAGES = ("sourceLang", "targetLang")


def _speaks(code: str, language: str) -> bool:
    """Whether a code such as `fr-FR` or `fr_XX` is a variety of the language `fr`."""
    return re.split("[-_]", code.strip().lower())[0] == language


def read_glossary(path: Path, source: str, target: str) -> list[tuple[str, str]]:
    """(term, translation) in file order. DataError naming the required columns, or the languages
    found."""
    there = header(path, " of a glossary")
    layouts = (("sourceString", "targetString"), ("source", "target"), (source, target))
    columns = next((pair for pair in layouts if set(pair) <= set(there)), None)
    if columns is None:
        wanted = "; or ".join(" and ".join(pair) for pair in layouts)
        raise DataError(
            f"{path}: a glossary needs the columns {wanted}; columns there: "
            f"{', '.join(there) or 'none'}{separator_hint(there)}"
        )
    marked = set(LANGUAGES) <= set(there)
    rows = read_columns(str(path), [*columns, *(LANGUAGES if marked else ())])
    kept = [
        row
        for row in rows
        if not marked or (_speaks(row[LANGUAGES[0]], source) and _speaks(row[LANGUAGES[1]], target))
    ]
    if not kept:
        known = ", ".join(sorted({"-".join(row[c] for c in LANGUAGES) for row in rows}))
        raise DataError(f"{path}: no term of {source}-{target}; directions there: {known}")
    return [(row[columns[0]], row[columns[1]]) for row in kept]
