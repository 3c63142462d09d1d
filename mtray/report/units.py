"""In which unit a measure is, as far as its values tell."""

from __future__ import annotations

POINTS = 10


def in_points(value: float) -> bool:
    """Whether a measure with such a value is one of points, such as BLEU, whose decimals say
    little, and not a share."""
    return abs(value) >= POINTS
