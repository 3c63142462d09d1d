"""The front as the page gets it: only what the page shows, and rounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtray.report.front import Front
from mtray.run_files import BASE_NUMBER

DIGITS = 6  # significant ones that the page is sent
MANY = 200  # points above which only objectives are compared with more than the base model
SCORE = ("value", "low", "high", "n", "least", "most")


def page_front(front: Front) -> dict[str, Any]:
    """`Front.model_dump(mode="json")` with scores without their signatures, numbers rounded, and,
    with many points, differences of objectives alone."""
    data: dict[str, Any] = front.model_dump(mode="json")
    names = [objective["name"] for objective in data["objectives"]]
    many = len(data["points"]) > MANY
    for point in data["points"]:
        point["objectives"] = _scores(point["objectives"])
        point["scores"] = _scores(
            {n: s for n, s in point["scores"].items() if n not in point["objectives"]}
        )
        if many:
            point["differences"] = {
                number: {n: d for n, d in found.items() if n in names or number == str(BASE_NUMBER)}
                for number, found in point["differences"].items()
            }
    shown: dict[str, Any] = rounded(data)
    return shown


def _scores(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {key: score[key] for key in SCORE} for name, score in found.items()}


def rounded(value: Any) -> Any:
    """The same JSON value with every fraction rounded to `DIGITS` significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value
