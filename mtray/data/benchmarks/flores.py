"""FLORES-101 and FLORES-200 in their published format: a folder with `dev/<code>.dev` and
`devtest/<code>.devtest`, one sentence a line, all files of a split line-parallel.

Codes are ISO 639-3 (`deu`, FLORES-101), or that with the script (`deu_Latn`, FLORES-200). A file
`metadata_<split>.tsv` in the folder gives the article of each sentence by its URL, and its domain.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from mtray.data.benchmarks.segments import Segments
from mtray.data.readers.lines import read_lines, read_text
from mtray.errors import ConfigError, DataError

SPLITS = ("dev", "devtest")
# ISO 639-1 -> ISO 639-3, also for macrolanguages of which FLORES has one member
ISO_639_3 = {
    "af": "afr", "am": "amh", "ar": "arb ara", "as": "asm", "az": "azj", "be": "bel", "bg": "bul",
    "bn": "ben", "bs": "bos", "ca": "cat", "cs": "ces", "cy": "cym", "da": "dan", "de": "deu",
    "el": "ell", "en": "eng", "eo": "epo", "es": "spa", "et": "est", "eu": "eus", "fa": "pes fas",
    "fi": "fin", "fr": "fra", "ga": "gle", "gl": "glg", "gu": "guj", "ha": "hau", "he": "heb",
    "hi": "hin", "hr": "hrv", "hu": "hun", "hy": "hye", "id": "ind", "ig": "ibo", "is": "isl",
    "it": "ita", "ja": "jpn", "jv": "jav", "ka": "kat", "kk": "kaz", "km": "khm", "kn": "kan",
    "ko": "kor", "ky": "kir", "lo": "lao", "lt": "lit", "lv": "lvs lav", "mk": "mkd", "ml": "mal",
    "mn": "khk mon", "mr": "mar", "ms": "zsm msa", "mt": "mlt", "my": "mya", "ne": "npi",
    "nl": "nld", "no": "nob", "pa": "pan", "pl": "pol", "ps": "pbt pus", "pt": "por", "ro": "ron",
    "ru": "rus", "sk": "slk", "sl": "slv", "so": "som", "sq": "als", "sr": "srp", "sv": "swe",
    "sw": "swh", "ta": "tam", "te": "tel", "tg": "tgk", "th": "tha", "tl": "tgl", "tr": "tur",
    "uk": "ukr", "ur": "urd", "uz": "uzn uzb", "vi": "vie", "wo": "wol", "xh": "xho", "yo": "yor",
    "zh": "zho_Hans zho_simpl", "zu": "zul",
}  # fmt: skip


def find_file(folder: Path, split: str, language: str, code: str | None = None) -> Path:
    """The file of a language: that of `code` if given, else that of the language's codes.
    ConfigError listing the codes in the folder when there is no such file, or more than one."""
    place = folder / split if (folder / split).is_dir() else folder
    known = {path.name.removesuffix(f".{split}"): path for path in place.glob(f"*.{split}")}
    if not known:
        raise ConfigError(
            f"{folder}: not a FLORES folder: no *.{split} in {place}; a single set is given as a "
            "file (.parquet, .jsonl, .json, .tsv, .csv) or as a file for each language"
        )
    stems = [code] if code else ISO_639_3.get(language, language).split()
    for stem in stems:
        exact = [name for name in known if name == stem]
        found = exact or sorted(name for name in known if name.split("_")[0] == stem and not code)
        if len(found) > 1:
            raise ConfigError(
                f"{place}: {language} may be {' or '.join(found)}; choose one: "
                f"`columns: {{{language}: {found[0]}}}`"
            )
        if found:
            return known[found[0]]
    raise ConfigError(
        f"{place}: no file for {language} ({', '.join(stems)}); say which code to use for it in "
        f"`columns: {{{language}: CODE}}`; codes there: {', '.join(sorted(known))}"
    )


def metadata(folder: Path, split: str, sentences: int) -> dict[str, list[str]]:
    """`URL` (of the article) and `domain` of each sentence, as far as the folder has them.
    DataError when their number differs from that of the sentences."""
    path = folder / f"metadata_{split}.tsv"
    if not path.is_file():
        return {}
    reader = csv.DictReader(
        io.StringIO(read_text(path)), delimiter="\t", quoting=csv.QUOTE_NONE, restval=""
    )
    fields = [name for name in ("URL", "domain") if name in (reader.fieldnames or [])]
    rows = list(reader)
    if fields and len(rows) != sentences:
        raise DataError(f"{path}: {len(rows):,} rows for the {sentences:,} sentences of {split}")
    return {name: [row[name] for row in rows] for name in fields}


def read_flores(
    folder: Path, split: str, languages: tuple[str, str], codes: dict[str, str]
) -> Segments:
    """A split, with its articles as documents. `codes` overrides the code of a language. Raises
    DataError for files of different lengths."""
    files = [find_file(folder, split, code, codes.get(code)) for code in languages]
    sources, references = (read_lines(file) for file in files)
    if len(sources) != len(references):
        raise DataError(
            f"line-parallel files must be equally long: {files[0]} has {len(sources):,} lines, "
            f"{files[1]} has {len(references):,} lines"
        )
    fields = metadata(folder, split, len(sources))
    return Segments(sources, references, fields.get("URL"), fields.get("domain"))
