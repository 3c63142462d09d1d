"""Scores of single segments, to find those worth reading. For corpora: `metrics.quality`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mtray.data.readers.paragraphs import joined
from mtray.errors import ConfigError
from mtray.evaluation.directions import Direction
from mtray.evaluation.metrics.quality import COMET, METRICS, CometScorer

# a segment's BLEU is 0 wherever four words in a row do not agree, so it orders nothing
SEGMENT_METRICS = ("chrf", "chrf++", COMET)


def segment_scores(
    metric: str, load: Callable[[], CometScorer]
) -> Callable[[Direction, Sequence[str]], list[float]]:
    """A function of a direction and its hypotheses that gives every segment's score, higher is
    better: chrF2 (Popović 2015) from 0 to 100, or COMET in its model's scale. `load` loads the
    study's COMET. Raises ConfigError for another metric."""
    if metric == COMET:
        scorer = load()
        return lambda direction, texts: [
            float(x)
            for x in scorer.scores(
                *(list(map(joined, t)) for t in (direction.sources, texts, direction.references))
            )
        ]
    if metric not in SEGMENT_METRICS:
        raise ConfigError(
            f"--metric: no scores of single segments by {metric!r}; allowed: "
            f"{', '.join(SEGMENT_METRICS)}"
        )

    def score(direction: Direction, texts: Sequence[str]) -> list[float]:
        sentence: Any = METRICS[metric]("").sentence_score
        pairs = zip(texts, direction.references, strict=True)
        return [float(sentence(joined(text), [joined(ref)]).score) for text, ref in pairs]

    return score
