"""Metrics of summaries against their references: chrF, ROUGE-L and length ratio."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from math import inf

import numpy as np

from mtray.analysis.uncertainty import Array, Measurement, mean_measurement
from mtray.data.languages import WITHOUT_SPACES
from mtray.errors import EvaluationError
from mtray.evaluation.metrics.output_failures import tokens
from mtray.evaluation.metrics.quality import chrf


class Words:
    """A tokenizer for rouge-score, whose own drops all non-ASCII characters: lower-cased words
    without punctuation, or the characters of a language that is written without spaces."""

    def __init__(self, language: str) -> None:
        self.segmented = language not in WITHOUT_SPACES

    def tokenize(self, text: str) -> list[str]:
        return tokens(text.lower(), self.segmented)


def rouge_l(outputs: Sequence[str], references: Sequence[str], language: str) -> Measurement:
    """Mean F1 of the longest common subsequence (Lin 2004), 0 to 1, by rouge-score."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], tokenizer=Words(language))
    pairs = zip(references, outputs, strict=True)
    found = [scorer.score(reference, output)["rougeL"].fmeasure for reference, output in pairs]
    unit = "char" if language in WITHOUT_SPACES else "word"
    signature = (
        f"rougeL-f1|lang:{language}|tok:{unit}|case:low|rouge-score-{version('rouge-score')}"
    )
    return mean_measurement(found, signature, bounds=(0.0, 1.0))


def _quotient(sums: Array) -> Array:
    return np.asarray(sums[..., 0] / sums[..., 1])


def measure_summaries(
    outputs: Sequence[str], references: Sequence[str], language: str
) -> dict[str, Measurement]:
    """`chrf` (0 to 100), `rouge_l` (0 to 1) and `length_ratio` (characters of all outputs over
    those of all references). Raises EvaluationError if their numbers differ."""
    if len(outputs) != len(references):
        raise EvaluationError(f"{len(outputs)} summaries and {len(references)} references")
    lengths = [(len(o), len(r)) for o, r in zip(outputs, references, strict=True)]
    ratio = Measurement(
        np.asarray(lengths, dtype=np.float64),
        _quotient,
        "length-ratio|characters",
        bounds=(0.0, inf),
    )
    return {
        "chrf": chrf(outputs, references),
        "rouge_l": rouge_l(outputs, references, language),
        "length_ratio": ratio,
    }
