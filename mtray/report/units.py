"""The unit of a measure, and its decimals in a table."""

from __future__ import annotations

from collections.abc import Iterable

from mtray.schema import Score

POINTS = 10


def in_points(scores: Iterable[Score]) -> bool:
    """Whether a measure is in points, such as BLEU, whose later decimals say little, and not a
    share. Its bounds decide, or, where it has none or an earlier version recorded none, the largest
    of its `scores` here: all rows of a table have the same decimals."""
    return any(
        (abs(score.value) if score.most is None else score.most) >= POINTS for score in scores
    )


def decimals(points: bool) -> int:
    return 1 if points else 3
