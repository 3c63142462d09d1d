"""English names of languages for prompts: every code of ISO 639-1, -2 and -3."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from mtray.errors import ConfigError

OWN = {"ben": "Bengali"}  # CLDR has Bangla; the field's data sets and papers have this
ADDED = re.compile(r" \((macrolanguage|[^)]*\d{3}[^)]*)\)$")  # `Modern Greek (1453-)`
# codes of countries, and retired ones, that are taken for a language's
MISTAKEN = {
    "al": "sq", "by": "be", "cn": "zh", "cz": "cs", "dk": "da", "ge": "ka", "gr": "el", "il": "he",
    "in": "id", "ir": "fa", "iw": "he", "ji": "yi", "jp": "ja", "kz": "kk", "rs": "sr", "ua": "uk",
    "vn": "vi",
}  # fmt: skip


@cache
def names() -> dict[str, str]:
    """Name by code, such as `nb`: `Norwegian Bokmål`. The name is the Unicode CLDR's where it has
    one (`Greek`, `Punjabi`), else that of ISO 639-3 without what its registrar adds."""
    from babel import Locale
    from iso639 import ALL_LANGUAGES

    cldr, found = Locale("en").languages, dict[str, str]()
    for language in ALL_LANGUAGES:
        if language.status != "A" or language.scope == "S":  # retired; `undetermined` and the like
            continue
        codes = _codes(language)
        known = [cldr[code] for code in codes if code in cldr]
        name = OWN.get(language.part3) or (known or [ADDED.sub("", language.name)])[0]
        found |= dict.fromkeys(codes, name)
    return found


def _codes(language: Any) -> list[str]:
    found = (language.part1, language.part3, language.part2t, language.part2b)
    return list(dict.fromkeys(code for code in found if code))


def language_name(code: str) -> str:
    """English display name of a language. Raises ConfigError for what is no code of ISO 639."""
    if code in names():
        return names()[code]
    meant = MISTAKEN.get(code)
    hint = f"; did you mean {meant} ({names()[meant]})?" if meant else ""
    raise ConfigError(
        f"language {code!r} is not in ISO 639; allowed: its codes of two or three letters, such as "
        f"uk or ukr{hint}"
    )
