"""What is in the files that a user brings: their columns, how many rows, and a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from mtray.data.language_names import language_name
from mtray.data.readers.options import ReadOptions
from mtray.data.readers.sources import is_data_set, is_there, stream_columns
from mtray.errors import ConfigError, DataError, MtrayError
from mtray.schema import HUB_PREFIX

MOST = 300_000  # rows that are read; a file with more has at least as many
SAMPLE = 400  # rows whose lengths are looked at
# names that columns often have, besides the languages' own
PAIRED = (("source", "target"), ("src", "tgt"), ("src", "trg"), ("sentence1", "sentence2"))
TEXTS = ("text", "sentence", "content", "body")
REPLAYS = (
    ("prompt", "target"), ("prompt", "response"), ("prompt", "completion"),
    ("instruction", "output"), ("instruction", "response"), ("question", "answer"),
    ("input", "output"), ("messages.user", "messages.assistant"),
)  # fmt: skip
MEASURED = ("validation", "dev", "test")  # splits of data sets


@dataclass(frozen=True)
class Corpus:
    """A corpus as it is named in a study.

    - `path`: absolute, or of the hub; a dict has a file for each language.
    - `columns`: where they are not called as mtray expects, by role.
    - `rows`: how many there are, at most `MOST`.
    - `sample`: texts of some rows, in the order of the roles.
    """

    path: str | dict[str, str]
    rows: int
    sample: tuple[tuple[str, ...], ...]
    columns: dict[str, str] = field(default_factory=dict)
    split: str | None = None

    @property
    def is_data_set(self) -> bool:
        return isinstance(self.path, str) and is_data_set(self.path)


def parallel_corpus(
    option: str, given: Sequence[str], languages: Sequence[str], measured: bool = False
) -> Corpus:
    """Pairs in a file, a file for each language (`de=a.de en=a.en`, or in the order of the
    languages), a data set's folder or `hf:NAME`. `measured`: for evaluation. Raises ConfigError or
    DataError naming the option."""
    names = [(code, language_name(code).lower()) for code in languages]
    (a, long_a), (b, long_b) = names
    nested = [f"{outer}.{{}}" for outer in ("translation", "translations")]
    choices = [(a, b), *((form.format(a), form.format(b)) for form in nested), (long_a, long_b)]
    path = _paths(option, given, languages)
    if measured and isinstance(path, str) and is_data_set(path):
        path = _single_file(option, path)
    if isinstance(path, dict):
        choices = choices[:1]
    return _read(option, path, languages, [*choices, *PAIRED])


def mono_corpus(option: str, given: str, language: str) -> Corpus:
    """Text of one language: a file with a text a line, or one with a column of texts."""
    choices = [(name,) for name in (*TEXTS, language)]
    return _read(option, _absolute(option, given), ("text",), choices)


def replay_corpus(option: str, given: str) -> Corpus:
    """Prompts and their answers."""
    return _read(option, _absolute(option, given), ("prompt", "target"), REPLAYS)


def _paths(option: str, given: Sequence[str], languages: Sequence[str]) -> str | dict[str, str]:
    if len(given) == 1 and given[0].partition("=")[0] not in languages:
        return _absolute(option, given[0])
    named = dict(part.split("=", 1) for part in given if part.partition("=")[0] in languages)
    if not named and len(given) == 2:
        named = dict(zip(_in_order(given, languages), given, strict=True))
    if set(named) != set(languages) or len(given) != 2:
        a, b = languages
        raise ConfigError(
            f"{option} {' '.join(given)}: expected one file, or one for each language, as in "
            f"{option} {a}=FILE {b}=FILE"
        )
    return {code: _absolute(option, named[code]) for code in languages}


def _single_file(option: str, path: str) -> str:
    """The one Parquet file of a data set's folder, of all splits or of one that is for
    evaluation: evaluation sets are files. ConfigError where there is none."""
    files = [] if path.startswith(HUB_PREFIX) else sorted(Path(path).rglob("*.parquet"))
    choices = [files, *([f for f in files if f.name.startswith(split)] for split in MEASURED)]
    for found in choices:
        if len(found) == 1:
            return str(found[0])
    names = ", ".join(str(file.relative_to(path)) for file in files[:5])
    there = f"; files there: {names}" if names else ""
    raise ConfigError(f"{option} {path}: an evaluation set is a file, or one a language{there}")


def _in_order(given: Sequence[str], languages: Sequence[str]) -> Sequence[str]:
    """The languages of two files by their names' ends, else as given."""
    ends = [[part for part in Path(name).name.split(".") if part in languages] for name in given]
    found = [parts[-1] for parts in ends if parts]
    return found if set(found) == set(languages) else languages


def _absolute(option: str, path: str) -> str:
    if path.startswith(HUB_PREFIX):
        return path
    found = Path(path).expanduser().absolute()
    if not is_there(str(found)):
        raise ConfigError(f"{option} {path}: no such file or folder")
    return str(found)


def _read(
    option: str,
    path: str | dict[str, str],
    roles: Sequence[str],
    choices: Sequence[tuple[str, ...]],
) -> Corpus:
    split, columns = _found(option, path, choices)
    kept, count = [], 0
    for row in islice(stream_columns(path, columns, ReadOptions(split=split)), MOST):
        if count < SAMPLE:
            kept.append(tuple(row[name] for name in columns))
        count += 1
    named = {role: name for role, name in zip(roles, columns, strict=True) if role != name}
    plain = not named or isinstance(path, dict)
    return Corpus(path, count, tuple(kept), {} if plain else named, split)


def _found(
    option: str,
    path: str | dict[str, str],
    choices: Sequence[tuple[str, ...]],
) -> tuple[str | None, tuple[str, ...]]:
    """Split and columns with which the first row can be read. ConfigError with the reader's own
    words if there are none."""
    several = isinstance(path, str) and is_data_set(path)
    first: MtrayError | None = None
    for split in (None, "train") if several else (None,):
        for columns in choices:
            try:
                next(iter(stream_columns(path, columns, ReadOptions(split=split))))
                return split, columns
            except (DataError, ConfigError) as error:
                first = first or error
    tried = ", ".join("/".join(columns) for columns in choices)
    raise ConfigError(f"{option}: {first}\ntried the columns {tried}; rename them in the file")
