"""The protocol between mtray and a process that scores, version 1: a JSON object on each line.

The process says `{"hello": 1}` first (with `versions` of packages, if it likes), then answers every
request in order, with the request's `id`, until its standard input ends:

    {"id": 1, "do": "load", "device": "auto"}
        -> {"id": 1, "signature": "name|version", "references": true, "max_length": 512}
    {"id": 2, "do": "score", "segments": [["source", "hypothesis", "reference"], ...]}
        -> {"id": 2, "scores": [0.81, ...], "truncated": ["", "sr", ...]}
    {"id": 3, "do": "count", "texts": ["text", ...]}      only where `max_length` was given
        -> {"id": 3, "truncated": 4}
    an error: of the model, the evaluation or memory
        -> {"id": 2, "error": "model", "message": "what is wrong, and how to go on"}

A `load` may also say `empty`, the score of an empty hypothesis, which is then never sent; without
it one is scored like any other. Higher scores are better. `truncated` says for each segment which
of its texts were longer than the model reads: any of s (source), h (hypothesis) and r (reference);
it may be left out. Requests may have further keys; for COMET `model` and `name`, and `threads`.
Numbers are the shortest decimal digits that give the same double; what JSON has no number for is
written as the text nan, inf or -inf.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

VERSION = 1
KINDS = ("model", "evaluation", "memory")  # of errors
PARTS = "shr"  # source, hypothesis, reference


def line(message: dict[str, Any]) -> bytes:
    """A message as it is sent; ASCII, so that every text survives, half a surrogate pair too."""
    return json.dumps(message, allow_nan=False).encode("ascii") + b"\n"


def parsed(found: bytes) -> dict[str, Any]:
    """The message of a line. Raises ValueError for anything but a JSON object."""
    try:
        message = json.loads(found)
    except RecursionError:
        raise ValueError("too many levels") from None
    if not isinstance(message, dict):
        raise ValueError(f"a {type(message).__name__} instead of an object")
    return message


def written(value: float) -> float | str:
    """A score as it is sent."""
    return value if math.isfinite(value) else str(value)


def read_scores(found: Any, count: int) -> list[float]:
    """The scores of an answer to `count` segments. Raises ValueError for anything but as many
    numbers."""
    if not isinstance(found, list) or len(found) != count:
        what = f"{len(found)} scores" if isinstance(found, list) else "no list of scores"
        raise ValueError(f"{what} for {count} segments")
    return [_score(value) for value in found]


def _score(value: Any) -> float:
    if isinstance(value, str) and value in ("nan", "inf", "-inf"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{str(value)[:40]!r} as a score")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"a whole number of {len(str(value))} digits as a score") from None


def read_truncated(found: Any, count: int) -> list[str] | None:
    """What an answer says was cut, for each of `count` segments; None where it does not say.
    Raises ValueError for anything else."""
    if found is None:
        return None
    texts = isinstance(found, list) and len(found) == count
    if not texts or not all(isinstance(f, str) and re.fullmatch(f"[{PARTS}]*", f) for f in found):
        raise ValueError(f"`truncated` that is not {count} texts of the letters {PARTS}")
    return list(found)
