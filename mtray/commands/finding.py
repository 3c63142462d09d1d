"""What `doctor` finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "MISSING"]


@dataclass(frozen=True)
class Finding:
    """`MISSING` prevents a sweep from running, `note` affects how well it runs."""

    level: Level
    what: str
    text: str
