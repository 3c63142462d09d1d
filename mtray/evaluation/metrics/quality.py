"""Translation quality as measurements: sacrebleu's own per-segment statistics, and COMET's segment
scores. Both see a segment on one line (`mtray.data.readers.paragraphs.joined`), as in WMT's files,
so string metrics are those of sacrebleu's command line on such files.

A study names string metrics by the keys of `METRICS`. `measure` scores trials, rescored trials and
outputs produced elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mtray.analysis.uncertainty import Array, Measurement, mean_measurement
from mtray.compat.sacrebleu import score_of_sums, segment_statistics
from mtray.data.readers.paragraphs import joined
from mtray.errors import ConfigError, EvaluationError
from mtray.evaluation.metrics.spbleu import spm_bleu

Clusters = npt.NDArray[np.int64] | None
# sacrebleu's choices by target language; the others take 13a, the tokenizer of WMT's mteval
BLEU_TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}


# a bootstrap over fewer documents is unreliable, and over a single one meaningless
LEAST_DOCUMENTS = 8


def document_clusters(documents: Sequence[str] | None) -> Clusters:
    """The clusters of a bootstrap, shape (segments,). None, that is, each segment alone, without
    documents or with fewer than `LEAST_DOCUMENTS`."""
    if documents is None or len(set(documents)) < LEAST_DOCUMENTS:
        return None
    return np.unique(documents, return_inverse=True)[1].astype(np.int64)


class CometScorer(Protocol):
    """A learned metric; `signature` names the model, its version and its settings. A metric that
    needs no references ignores them."""

    @property
    def signature(self) -> str: ...

    def scores(
        self, sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]
    ) -> Array:
        """A score for each segment, shape (segments,), higher is better."""
        ...


class SegmentScores(NamedTuple):
    """Scores of segments.

    - `values`: shape (segments,).
    - `truncated`: how many segments have a text that the metric cut; None where it does not say.
    - `divided`: how many were scored in parts, by how they were divided (`long_texts.WAYS`).
    """

    values: Array
    truncated: int | None
    divided: Mapping[str, int] = MappingProxyType({})


@runtime_checkable
class ReportsTruncation(Protocol):
    """A learned metric that says what it cut. It gets texts with their line breaks."""

    def segment_scores(
        self, sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]
    ) -> SegmentScores: ...


@dataclass(frozen=True)
class FromSums:
    """A sacrebleu metric as a function of summed statistics, shape (..., k) -> (...), in its own
    scale 0-100."""

    metric: Any

    def __call__(self, sums: Array) -> Array:
        rows = sums.reshape(-1, sums.shape[-1]).tolist()
        scores = [score_of_sums(self.metric, row) for row in rows]
        return np.asarray(scores, dtype=np.float64).reshape(sums.shape[:-1])


def _sacrebleu(
    metric: Any, hypotheses: Sequence[str], references: Sequence[str], clusters: Clusters
) -> Measurement:
    name = type(metric).__name__
    if len(hypotheses) != len(references) or not hypotheses:
        raise EvaluationError(
            f"{name}: {len(hypotheses)} hypotheses and {len(references)} references; "
            "expected equally many of each, at least one"
        )
    # tokenizers differ in what they make of a line break: 13a deletes a hyphen before it
    lines = [[joined(text) for text in texts] for texts in (hypotheses, references)]
    stats = segment_statistics(metric, *lines)
    signature = f"{name}|{metric.get_signature().format()}"
    values = np.asarray(stats, dtype=np.float64)
    return Measurement(values, FromSums(metric), signature, clusters, bounds=(0.0, 100.0))


def _bleu(language: str) -> Any:
    from sacrebleu.metrics import BLEU

    wanted = BLEU_TOKENIZERS.get(language, "13a")
    try:
        return BLEU(tokenize=wanted)
    except RuntimeError:
        if not wanted.endswith("-mecab"):
            raise
        return BLEU(tokenize="char")


def _chrf(word_order: int) -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF(word_order=word_order)


# name -> sacrebleu's metric for a target language; for all of them higher is better, from 0 to 100
METRICS: dict[str, Callable[[str], Any]] = {
    "bleu": _bleu,
    "chrf": lambda _: _chrf(0),
    "chrf++": lambda _: _chrf(2),  # Popović 2017
    "spbleu": lambda _: spm_bleu("flores200"),  # NLLB team 2022
    "spbleu101": lambda _: spm_bleu("flores101"),  # Goyal et al. 2022
}
COMET = "comet"  # the main learned metric, which is always measured


def string_metrics(names: Sequence[str], key: str, languages: Sequence[str] = ()) -> list[str]:
    """The names without `comet`, each once. Raises ConfigError for another name, listing the
    allowed ones, and ModelError for a metric that is not available for a target language. `key`:
    where the names were given."""
    for name in names:
        if name != COMET and name not in METRICS:
            raise ConfigError(
                f"{key}: unknown metric {name!r}; allowed: {', '.join([COMET, *METRICS])} "
                "(further learned metrics: `evaluation.more_comet`, `evaluation.more_metrics`)"
            )
    chosen = [name for name in dict.fromkeys(names) if name != COMET]
    for name in chosen:
        for language in languages:
            METRICS[name](language)
    return chosen


@dataclass(frozen=True)
class Segments:
    """Sources and references of translations into `language`."""

    sources: Sequence[str]
    references: Sequence[str]
    language: str
    clusters: Clusters = None


def measure(
    segments: Segments,
    hypotheses: Sequence[str],
    metrics: Sequence[str],
    scorers: Mapping[str, CometScorer],
) -> dict[str, Measurement]:
    """Every learned metric of `scorers`, then the string metrics, by name."""
    sources, references, clusters = segments.sources, segments.references, segments.clusters
    learned = {
        name: comet(scorer, sources, hypotheses, references, clusters)
        for name, scorer in scorers.items()
    }
    return learned | {
        name: _sacrebleu(METRICS[name](segments.language), hypotheses, references, clusters)
        for name in metrics
    }


def bleu(
    hypotheses: Sequence[str], references: Sequence[str], language: str, clusters: Clusters = None
) -> Measurement:
    """Corpus BLEU (Papineni et al. 2002; Post 2018), 0-100, tokenised for the target `language`.

    Japanese and Korean fall back to single characters if MeCab is not installed; the signature then
    has `tok:char`.
    """
    return _sacrebleu(_bleu(language), hypotheses, references, clusters)


def chrf(
    hypotheses: Sequence[str], references: Sequence[str], clusters: Clusters = None
) -> Measurement:
    """Corpus chrF2 (Popović 2015), 0-100."""
    return _sacrebleu(_chrf(0), hypotheses, references, clusters)


def comet(
    scorer: CometScorer,
    sources: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[str],
    clusters: Clusters = None,
) -> Measurement:
    """Mean COMET (Rei et al. 2020), in the scale of the scorer's model."""
    if isinstance(scorer, ReportsTruncation):
        found = scorer.segment_scores(sources, hypotheses, references)
    else:
        texts = (list(map(joined, some)) for some in (sources, hypotheses, references))
        found = SegmentScores(scorer.scores(*texts), None)
    scores = np.asarray(found.values, dtype=np.float64)
    if scores.shape != (len(sources),):
        raise EvaluationError(
            f"{scorer.signature}: {len(sources)} segments gave scores of shape {scores.shape}"
        )
    measured = mean_measurement(scores, scorer.signature, clusters)
    return replace(measured, truncated=found.truncated, divided=dict(found.divided))
