"""A proxy of how literally idioms are translated, for sets without spans: chrF of an output against
a word-by-word gloss of its source.

It is mtray's own, compares systems on one set with one dictionary, and is not LitTER
(`mtray.evaluation.metrics.literalness`): a right translation also contains some of the gloss's
words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from mtray.analysis.uncertainty import Measurement
from mtray.data.benchmarks.idioms import Dictionary
from mtray.errors import EvaluationError
from mtray.evaluation.metrics.output_failures import without_punctuation
from mtray.evaluation.metrics.quality import Clusters, chrf


class Gloss(NamedTuple):
    """A source word by word: each word's first translation; words without one are left out."""

    text: str
    words: int
    known: int


def gloss(source: str, dictionary: Dictionary) -> Gloss:
    words = without_punctuation(source).split()
    found = [translations[0] for w in words if (translations := dictionary.translations(w))]
    return Gloss(" ".join(found), len(words), len(found))


def literalness_proxy(
    outputs: Sequence[str], glosses: Sequence[Gloss], clusters: Clusters = None
) -> Measurement:
    """chrF of the outputs against the glosses, 0 to 100, over the sentences that have one; higher
    is more literal. Raises EvaluationError if none has."""
    places = [i for i, found in enumerate(glosses) if found.text]
    if not places:
        raise EvaluationError("literalness proxy: the dictionary has no word of any source")
    measured = chrf(
        [outputs[i] for i in places],
        [glosses[i].text for i in places],
        None if clusters is None else clusters[places],
    )
    coverage = sum(g.known for g in glosses) / sum(g.words for g in glosses)
    name = f"literalness-proxy:gloss|dictionary-coverage:{coverage:.3f}"
    return replace(measured, signature=f"{name}|{measured.signature}")
