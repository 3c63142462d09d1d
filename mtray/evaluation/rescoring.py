"""Scores stored outputs with another metric, without generating, and computes the paired difference
to the base model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtray.analysis.human_agreement import expected_agreement
from mtray.analysis.resampling_units import shared_units
from mtray.analysis.uncertainty import Measurement, ScoreDraws, drawn, drawn_score, mean_of
from mtray.errors import EvaluationError
from mtray.evaluation.directions import Direction, measure_direction
from mtray.evaluation.metrics.quality import CometScorer
from mtray.evaluation.output_files import read_outputs
from mtray.evaluation.scoring import direction_names, on_units
from mtray.schema import Score

MEAN = "mean"


@dataclass(frozen=True)
class Rescorer:
    """What is measured, on which segments, and how its intervals are drawn."""

    directions: Sequence[Direction]
    metrics: Sequence[str]
    scorers: Mapping[str, CometScorer]
    resamples: int
    seed: int

    def measure(self, outputs_file: Path) -> dict[str, ScoreDraws]:
        """Scores and their draws as `<metric>.<direction>` and, over several directions,
        `<metric>.mean`, as a trial's own. Raises RunError for a file that is damaged or holds other
        requests."""
        found: dict[str, ScoreDraws] = {}
        by_metric: dict[str, list[Measurement]] = {}
        units = shared_units([direction_names(d) for d in self.directions])
        for direction, keys in zip(self.directions, units, strict=True):
            part = f"quality.{direction.name}"
            outputs = read_outputs(outputs_file, direction.requests, [part])
            measured = measure_direction(direction, outputs, self.metrics, self.scorers)
            for metric, measurement in measured.items():
                known = on_units(measurement, keys)
                by_metric.setdefault(metric, []).append(known)
                found[f"{metric}.{direction.name}"] = drawn(known, self.resamples, self.seed)
        if len(self.directions) > 1:
            for metric, parts in by_metric.items():
                found[f"{metric}.{MEAN}"] = mean_of(parts, self.resamples, self.seed)
        return found


def paired(a: ScoreDraws, b: ScoreDraws) -> Score:
    """a - b of two systems on the same segments and draws. Raises EvaluationError if these
    differ."""
    if a.draws.shape != b.draws.shape or (a.score.n, a.score.signature) != (
        b.score.n,
        b.score.signature,
    ):
        raise EvaluationError(
            f"{a.score.signature} on {a.score.n} units and {b.score.signature} on {b.score.n} are "
            "not to be compared"
        )
    gap = a.score.value - b.score.value
    signature = f"difference|{a.score.signature}"
    return drawn_score(gap, a.draws - b.draws, a.score.n, signature).score


def entries(
    found: Mapping[str, ScoreDraws], base: Mapping[str, ScoreDraws] | None
) -> dict[str, Any]:
    """The output for a trial, by the score's name: `score` and, for a tuned model, its paired
    `difference` to the base model and the expected `agreement` of human raters with it."""
    out: dict[str, Any] = {}
    for name, measured in found.items():
        out[name] = {"score": measured.score.model_dump()}
        if base is not None:
            gap = paired(measured, base[name])
            out[name]["difference"] = gap.model_dump()
            out[name]["agreement"] = expected_agreement(gap.signature, gap.value)
    return out
