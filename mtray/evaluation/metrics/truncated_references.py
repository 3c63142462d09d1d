"""Says before any training which references are longer than a metric reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtray.evaluation.metrics.comet import CometScorer
from mtray.evaluation.metrics.long_texts import TRUNCATE

HINT = " (`evaluation.comet_long: sentences` scores them in parts)"


def truncation_notes(
    scorers: Mapping[str, CometScorer], references: Mapping[str, Sequence[str]]
) -> list[str]:
    """A line for each metric with such references, by direction. A translation is about as long as
    its reference, so its end is not scored either."""
    notes = []
    for name, scorer in scorers.items():
        cut = {where: scorer.truncated(texts) for where, texts in references.items()}
        found = [f"{n:,} of {len(references[where]):,} in {where}" for where, n in cut.items() if n]
        if found:
            notes.append(
                f"references longer than the {scorer.max_length} tokens that {name} reads: "
                f"{', '.join(found)}; {_what_becomes(scorer)}"
            )
    return notes


def _what_becomes(scorer: CometScorer) -> str:
    if scorer.long != TRUNCATE:
        return f"they are scored in parts (`evaluation.comet_long: {scorer.long}`)"
    hint = HINT if "|comet:" in scorer.signature else ""
    return f"of longer texts it scores the beginning alone{hint}"
