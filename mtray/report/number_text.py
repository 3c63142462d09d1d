"""Gains, intervals and probabilities as text."""

from __future__ import annotations

from mtray.report.units import decimals
from mtray.run_files import BASE_NUMBER


def number_text(value: float, sign: str = "+", points: bool = False) -> str:
    """The value with three decimals, or with one if the measure is in points, such as BLEU."""
    digits = decimals(points)
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}"  # + 0.0 avoids -0.000


def interval_text(low: float, high: float, sign: str = "+", points: bool = False) -> str:
    return f"[{number_text(low, sign, points)}, {number_text(high, sign, points)}]"


def chance_text(chance: float) -> str:
    """A probability; `> .99` or `< .01` if the number of draws does not allow more precision."""
    if chance > 0.99:
        return "> .99"
    return "< .01" if chance < 0.01 else f"{chance:.2f}".lstrip("0")


def whose(number: int) -> str:
    return "the base model" if number == BASE_NUMBER else f"trial {number}"
