"""Scores of single segments, to find those worth reading. For corpora: `metrics.quality`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mtray.errors import ConfigError
from mtray.evaluation.directions import Direction, measure_direction
from mtray.evaluation.inference.requests import Output
from mtray.evaluation.metrics.quality import COMET, CometScorer

# a segment's BLEU is 0 wherever four words in a row do not agree, so it orders nothing
SEGMENT_METRICS = ("chrf", "chrf++", COMET)
SegmentScores = Callable[[Direction, Sequence[Output]], list[float]]


def segment_scores(metric: str, load: Callable[[], CometScorer]) -> SegmentScores:
    """A function of a direction and its outputs that gives every segment's score, higher is better:
    chrF2 (Popović 2015) from 0 to 100, or COMET in its model's scale. `load` loads the study's
    COMET. Raises ConfigError for another metric."""
    if metric not in SEGMENT_METRICS:
        raise ConfigError(
            f"--metric: no scores of single segments by {metric!r}; allowed: "
            f"{', '.join(SEGMENT_METRICS)}"
        )
    scorers = {COMET: load()} if metric == COMET else {}
    strings = [] if metric == COMET else [metric]

    def score(direction: Direction, outputs: Sequence[Output]) -> list[float]:
        measured = measure_direction(direction, outputs, strings, scorers)[metric]
        # a metric maps summed statistics to its value, and those of a segment to the segment's
        return list(map(float, measured.value(measured.stats)))

    return score
