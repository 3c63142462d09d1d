"""The unit of a measure, inferred from its values."""

from __future__ import annotations

POINTS = 10


def in_points(value: float) -> bool:
    """Whether a measure with such a value is in points, such as BLEU, whose later decimals say
    little, and not a share."""
    return abs(value) >= POINTS
