"""What a filter found in the rows of a source, or in a part of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

KEPT = "kept"
REASONS = (
    "empty", "control_characters", "characters", "words", "length_ratio", "identical", "leakage",
    "shots_leakage", "wrong_language", "duplicates", "near_duplicates",
)  # fmt: skip
# what an overlap is, by the filter that decides on it
LEAKS = {
    "leakage": "also in an evaluation set",
    "shots_leakage": "also in a file that examples in prompts are drawn from",
}
EXAMPLES = 3  # overlaps that are shown in full


@dataclass
class FilterCounts:
    """Found in rows that follow one another.

    - `counts`: rows by reason and under `kept`; they sum to the rows read.
    - `overlaps`: how many rows overlap, by `leakage` and `shots_leakage`, whether dropped or not.
    - `examples`: some of these rows, likewise.
    """

    counts: dict[str, int] = field(default_factory=dict)
    overlaps: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(self.counts.values())

    def count(self, reason: str) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + 1

    def overlap(self, name: str, example: Callable[[], str]) -> None:
        """Count a row that overlaps."""
        self.overlaps[name] = self.overlaps.get(name, 0) + 1
        if self.overlaps[name] <= EXAMPLES:
            self.examples.setdefault(name, []).append(example())

    def add(self, later: FilterCounts) -> None:
        """Add what was found in the rows that follow."""
        for own, more in ((self.counts, later.counts), (self.overlaps, later.overlaps)):
            for name, count in more.items():
                own[name] = own.get(name, 0) + count
        for name, examples in later.examples.items():
            known = self.examples.setdefault(name, [])
            known += examples[: EXAMPLES - len(known)]

    def summary(self, source: str) -> str:
        """How many rows of a source are kept, for people."""
        gone = [f"{self.counts[r]:,} {r}" for r in REASONS if self.counts.get(r)]
        head = f"{source}: {self.counts.get(KEPT, 0):,} of {self.rows:,} rows kept"
        return head + (f"; left out: {', '.join(gone)}" if gone else "")

    def refusal(self, source: str, leak: str) -> str:
        """Why a source with rows that overlap is refused."""
        what = "evaluation sets" if leak == "leakage" else "files of shots"
        return (
            f"source {source!r}: {self.overlaps[leak]:,} of {self.rows:,} rows overlap "
            f"with {what} of the study; take them out, or give the source "
            f"`filters: {{{leak}: drop}}` (or `allow`)\n  " + "\n  ".join(self.examples[leak])
        )
