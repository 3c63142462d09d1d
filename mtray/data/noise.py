"""Noise for studies of noisy parallel data: in chosen rows one side becomes a bad translation of
the other. Rows are chosen by (study seed, source, content); the noise is configured by a source's
`noise`, see `mtray.schema.Noise`.

Papers do not describe how their noise was made, so this is our own: word level is a gloss from a
dictionary (a word's first translation; unknown words are kept), sentence level the output of a
weaker system.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice, zip_longest
from pathlib import Path

from mtray.data.benchmarks.idioms import Dictionary, read_dictionary
from mtray.data.readers.options import ReadOptions
from mtray.data.readers.paragraphs import one_line
from mtray.data.readers.sources import Row, stream_columns
from mtray.data.row_draws import noise_draw
from mtray.errors import ConfigError, DataError
from mtray.files import file_hash
from mtray.schema import Noise, Source

NOISY = "noisy"  # key of the weaker system's line in a row
ROWS_AT_ONCE = 1000  # rows per Apertium process
APERTIUM_SECONDS = 600


def with_lines(source: Source, rows: Iterable[Row]) -> Iterator[Row]:
    """Every row of the source's file with its line of the weaker system's output, if there is one.
    Must be called before any row is dropped. DataError unless the numbers of lines match."""
    noise = source.own_noise
    if noise is None or noise.level != "sentence" or noise.path is None:
        yield from rows
        return
    lines = stream_columns(noise.path, [NOISY], ReadOptions("text"))
    for number, (row, line) in enumerate(zip_longest(rows, lines), 1):
        if row is None or line is None:
            fewer = f"source {source.name!r}" if row is None else noise.path
            raise DataError(
                f"source {source.name!r} and {noise.path}, its noise, must have a line for each "
                f"row; {fewer} ends after {number - 1:,}"
            )
        yield row | line


class NoiseMaker:
    """`rows` applies noise; `counts` tallies what was done so far."""

    def __init__(self, source: Source, noise: Noise, seed: int) -> None:
        self.noise = noise
        self.source = source
        self.key = f"{seed}/{source.name}"
        self.counts: Counter[str] = Counter()
        self._dictionary: Dictionary | None = None
        if noise.level == "word" and noise.path is not None:
            self._dictionary = read_dictionary(Path(noise.path))
        if noise.apertium:
            apertium_program()

    def chosen(self, row: Row) -> bool:
        return noise_draw(self.key, (row["source"], row["target"])) < self.noise.rate

    def rows(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows in their order. Raises DataError, and ConfigError where Apertium is needed but
        not installed."""
        if self.noise.apertium:
            yield from self._by_apertium(iter(rows), self.noise.apertium)
            return
        for row in rows:
            yield self._replaced(row, self._noisy(row)) if self.chosen(row) else row

    def _given(self, row: Row) -> str:
        """The side that is translated badly."""
        return row["source" if self.noise.side == "target" else "target"]

    def _noisy(self, row: Row) -> str:
        if self._dictionary is not None:
            text, words, known = gloss(self._given(row), self._dictionary)
            self.counts["noise.words"] += words
            self.counts["noise.words_known"] += known
            return text if known else ""
        if NOISY not in row:
            raise DataError(f"source {self.source.name!r}: its rows came without their noisy lines")
        return row[NOISY]

    def _replaced(self, row: Row, text: str) -> Row:
        """A row without a bad translation is kept unchanged, and counted."""
        self.counts["noise.rows" if text.strip() else "noise.without"] += 1
        return {**row, self.noise.side: text} if text.strip() else row

    def _by_apertium(self, rows: Iterator[Row], mode: str) -> Iterator[Row]:
        while batch := list(islice(rows, ROWS_AT_ONCE)):
            places = [i for i, row in enumerate(batch) if self.chosen(row)]
            texts = by_apertium([self._given(batch[i]) for i in places], mode)
            for place, text in zip(places, texts, strict=True):
                batch[place] = self._replaced(batch[place], text)
            yield from batch


def gloss(text: str, dictionary: Dictionary) -> tuple[str, int, int]:
    """The text translated word by word, its number of words, and how many of them are in the
    dictionary. Punctuation around a word is kept, and line breaks are."""
    lines = [_gloss_of_line(line, dictionary) for line in text.split("\n")]
    return (
        "\n".join(out for out, _, _ in lines),
        sum(w for _, w, _ in lines),
        sum(known for _, _, known in lines),
    )


def _gloss_of_line(text: str, dictionary: Dictionary) -> tuple[str, int, int]:
    out, words, known = [], 0, 0
    for token in text.split():
        inner = [i for i, c in enumerate(token) if unicodedata.category(c)[0] not in "PS"]
        if not inner:
            out.append(token)
            continue
        start, end = inner[0], inner[-1] + 1
        found = dictionary.translations(token[start:end])
        words, known = words + 1, known + bool(found)
        out.append(token[:start] + (found[0] if found else token[start:end]) + token[end:])
    return " ".join(out), words, known


def apertium_program() -> str:
    program = shutil.which("apertium")
    if program is None:
        raise ConfigError(
            "noise: `apertium` is not installed; install it with its language pair, or give the "
            "weaker system's output as a file: `noise: {path: FILE}`"
        )
    return program


def apertium_identity(mode: str) -> str:
    """The hash of what the output of a mode depends on: Apertium's version, and the mode with all
    files it names, where they are installed next to the program. Raises ConfigError where Apertium
    is not installed."""
    program = apertium_program()
    completed = subprocess.run(
        [program, "-V"], stdin=subprocess.DEVNULL, capture_output=True, timeout=APERTIUM_SECONDS
    )
    digest = hashlib.sha256(completed.stdout)
    file = Path(program).resolve().parents[1] / "share" / "apertium" / "modes" / f"{mode}.mode"
    if file.is_file():
        text = file.read_text(encoding="utf-8", errors="replace")
        digest.update(text.encode())
        for path in map(Path, re.findall(r"/[^\s'\"|;]+", text)):
            if path.is_file():
                digest.update(file_hash(path).encode())
    return digest.hexdigest()


def by_apertium(texts: list[str], mode: str) -> list[str]:
    """Apertium's translations, unknown words unmarked, line by line. Raises ConfigError where it
    cannot be run, DataError for unexpected output."""
    split = [text.split("\n") for text in texts]
    lines = [line for of_text in split for line in of_text if line.strip()]
    found = iter(_lines_by_apertium(lines, mode) if lines else ())
    return ["\n".join(next(found) if line.strip() else "" for line in of_text) for of_text in split]


def _lines_by_apertium(texts: list[str], mode: str) -> list[str]:
    """They are separated by an empty line, at which Apertium's reader ends a sentence."""
    given = "\n\n".join(map(one_line, texts))
    try:
        done = subprocess.run(
            [apertium_program(), "-u", mode], input=given, capture_output=True, text=True,
            encoding="utf-8", timeout=APERTIUM_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise DataError(
            f"noise: apertium {mode} took more than {APERTIUM_SECONDS} s for {len(texts):,} texts"
        ) from None
    if done.returncode != 0:
        reason = (done.stderr.strip() or done.stdout.strip() or "no reason given")[:200]
        raise ConfigError(f"noise: apertium {mode} failed: {reason}")
    found = done.stdout.strip("\n").split("\n\n")
    if len(found) != len(texts):
        raise DataError(
            f"noise: apertium {mode} returned {len(found):,} texts for {len(texts):,}; "
            "translate the source with it yourself and give the file: `noise: {path: FILE}`"
        )
    return list(map(one_line, found))
