"""Writes mtray/data/language_names.tsv: every code of ISO 639-1, -2 and -3 with the English name
that prompts show. Needs Babel and python-iso639, which nothing else of mtray needs:

    python -m pip install babel==2.19.0 python-iso639==2026.7.23

The name is the Unicode CLDR's where it has one (`Greek`, `Punjabi`; Unicode License v3), else that
of ISO 639-3 (https://iso639-3.sil.org) without what its registrar adds. The file is kept in the
repository, since a prompt must not change with an installed package.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from babel import Locale
from iso639 import ALL_LANGUAGES, Language

OUT = Path(__file__).parents[1] / "mtray" / "data" / "language_names.tsv"
OWN = {"ben": "Bengali"}  # CLDR has Bangla; the field's data sets and papers have this
ADDED = re.compile(r" \((macrolanguage|[^)]*\d{3}[^)]*)\)$")  # `Modern Greek (1453-)`


def codes_and_names() -> Iterator[tuple[str, str]]:
    cldr = Locale("en").languages
    for language in ALL_LANGUAGES:
        if language.status != "A" or language.scope == "S":  # retired; `undetermined` and the like
            continue
        codes = _codes(language)
        known = [cldr[code] for code in codes if code in cldr]
        name = OWN.get(language.part3) or (known or [ADDED.sub("", language.name)])[0]
        yield from ((code, name) for code in codes)


def _codes(language: Language) -> list[str]:
    found = (language.part1, language.part3, language.part2t, language.part2b)
    return list(dict.fromkeys(code for code in found if code))


if __name__ == "__main__":
    lines = sorted(codes_and_names())
    OUT.write_text("".join(f"{code}\t{name}\n" for code, name in lines), encoding="utf-8")
    print(f"{OUT}: {len(lines):,} codes")
