"""Multiple-choice questions from files. A row has a question, its choices and the right choice:

    {"question": "What is H2O?", "choices": ["salt", "water"], "answer": 1}

`choices` is a list of texts, or an object of `text` and `label` lists, as in ARC; in CSV and TSV it
is JSON in a cell. `answer` counts from 0, or is a letter, or one of the labels. The file may be
compressed, like any corpus.
"""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtray.data.readers.paragraphs import one_line
from mtray.data.readers.sources import LABELS
from mtray.data.readers.whole_rows import whole_rows
from mtray.errors import DataError
from mtray.evaluation.abilities.base import Context, sampled
from mtray.schema import AbilitySpec

ROLES = ("question", "choices", "answer")
LETTERS = string.ascii_uppercase


@dataclass(frozen=True)
class Question:
    """`answer` is the index of the right choice, from 0."""

    text: str
    choices: tuple[str, ...]
    answer: int

    def rotated(self, by: int) -> Question:
        """The same question with its last `by` choices first."""
        n = len(self.choices)
        turned = tuple(self.choices[(i - by) % n] for i in range(n))
        return Question(self.text, turned, (self.answer + by) % n)


def read_questions(path: str, spec: AbilitySpec, context: Context) -> list[Question]:
    """The measured questions of a file, a sample stratified by the labels that `columns`
    names. Raises DataError naming file, row and what is wrong; rows that are not measured may
    be invalid."""
    names = {role: spec.columns.get(role, role) for role in ROLES}
    rows = list(whole_rows(Path(path)))
    if not rows:
        raise DataError(f"{path}: contains no questions")
    labels = [spec.columns[label] for label in LABELS if label in spec.columns]
    strata = [[_values(place, row, [name])[0] for place, row in rows] for name in labels]
    return [
        _question(place, *_values(place, row, list(names.values())))
        for place, row in sampled(spec, context, rows, [list(map(str, s)) for s in strata])
    ]


def _values(place: str, row: Any, names: Sequence[str]) -> list[Any]:
    """The values of a row under some names, all of which are required."""
    if not isinstance(row, dict):
        raise DataError(f"{place}: expected an object, found {type(row).__name__}")
    missing = [name for name in names if row.get(name) is None]
    if missing:
        raise DataError(
            f"{place}: nothing under {missing[0]!r}; keys there: {', '.join(map(str, row))}"
        )
    return [row[name] for name in names]


def _parsed(place: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{place}: not JSON: {error.msg}") from None


def _question(place: str, text: Any, choices: Any, answer: Any) -> Question:
    if isinstance(choices, str):
        choices = _parsed(f"{place}: choices", choices)
    labels: list[str] = []
    if isinstance(choices, dict):
        labels = [str(label) for label in choices.get("label", [])]
        choices = choices.get("text")
    texts = [one_line(str(c)) for c in choices] if isinstance(choices, list) else []
    if not 2 <= len(texts) <= len(LETTERS) or not all(texts):
        raise DataError(
            f"{place}: expected 2 to {len(LETTERS)} choices, each with text, found {choices!r}"
        )
    if not one_line(str(text)):
        raise DataError(f"{place}: the question is empty")
    return Question(one_line(str(text)), tuple(texts), _place_of(place, answer, labels, len(texts)))


def _place_of(place: str, answer: Any, labels: list[str], n: int) -> int:
    """The index of the right choice: by label if there are labels, else by index or letter."""
    given = str(answer).strip()
    if labels:
        if len(labels) == n and labels.count(given) == 1:
            return labels.index(given)
        raise DataError(f"{place}: answer {answer!r} is none of the labels {', '.join(labels)}")
    if not isinstance(answer, bool) and given.isdecimal() and int(given) < n:
        return int(given)
    if len(given) == 1 and given.upper() in LETTERS[:n]:
        return LETTERS.index(given.upper())
    raise DataError(f"{place}: answer {answer!r}; allowed: 0 to {n - 1}, or A to {LETTERS[n - 1]}")
