"""English names of languages for prompts: every code of ISO 639-1, -2 and -3
(`tools/language_names.py` writes the table)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mtray.errors import ConfigError

TABLE = Path(__file__).with_name("language_names.tsv")
# codes of countries, and retired ones, that are taken for a language's
MISTAKEN = {
    "al": "sq", "by": "be", "cn": "zh", "cz": "cs", "dk": "da", "ge": "ka", "gr": "el", "il": "he",
    "in": "id", "ir": "fa", "iw": "he", "ji": "yi", "jp": "ja", "kz": "kk", "rs": "sr", "ua": "uk",
    "vn": "vi",
}  # fmt: skip


@cache
def names() -> dict[str, str]:
    """Name by code, such as `nb`: `Norwegian Bokmål`."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return {code: name for code, name in (line.split("\t") for line in lines)}


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
