"""Translation quality as measurements: sacrebleu's own per-segment statistics, and COMET's segment
scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mtray.analysis.uncertainty import Array, Measurement, mean_measurement
from mtray.errors import EvaluationError

Clusters = npt.NDArray[np.int64] | None
# sacrebleu's choices by target language; the others take 13a, the tokenizer of WMT's mteval
BLEU_TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}


class CometScorer(Protocol):
    """A learned metric; `signature` names the model, its version and its settings."""

    @property
    def signature(self) -> str: ...

    def scores(
        self, sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]
    ) -> Array:
        """A score for each segment, shape (segments,), higher is better."""
        ...


@dataclass(frozen=True)
class FromSums:
    """A sacrebleu metric as a function of summed statistics, shape (..., k) -> (...), in its own
    scale 0-100."""

    metric: Any

    def __call__(self, sums: Array) -> Array:
        rows = sums.reshape(-1, sums.shape[-1]).tolist()
        scores = [float(self.metric._compute_score_from_stats(row).score) for row in rows]
        return np.asarray(scores, dtype=np.float64).reshape(sums.shape[:-1])


def _sacrebleu(
    metric: Any, hypotheses: Sequence[str], references: Sequence[str], clusters: Clusters
) -> Measurement:
    name = type(metric).__name__
    if len(hypotheses) != len(references) or not hypotheses:
        raise EvaluationError(
            f"{name}: {len(hypotheses)} hypotheses and {len(references)} references; "
            "expected as many of each, and some"
        )
    # the statistics have no public name in sacrebleu; a test compares the result with
    # `corpus_score`
    stats = metric._extract_corpus_statistics(list(hypotheses), [list(references)])
    signature = f"{name}|{metric.get_signature().format()}"
    return Measurement(np.asarray(stats, dtype=np.float64), FromSums(metric), signature, clusters)


def bleu(
    hypotheses: Sequence[str], references: Sequence[str], language: str, clusters: Clusters = None
) -> Measurement:
    """Corpus BLEU (Papineni et al. 2002; Post 2018), 0-100, tokenised for the target `language`.

    Japanese and Korean fall back to single characters where MeCab is not installed; the signature
    says `tok:char` then."""
    from sacrebleu.metrics import BLEU

    wanted = BLEU_TOKENIZERS.get(language, "13a")
    try:
        metric = BLEU(tokenize=wanted)
    except RuntimeError:
        if not wanted.endswith("-mecab"):
            raise
        metric = BLEU(tokenize="char")
    return _sacrebleu(metric, hypotheses, references, clusters)


def chrf(
    hypotheses: Sequence[str], references: Sequence[str], clusters: Clusters = None
) -> Measurement:
    """Corpus chrF2 (Popović 2015), 0-100."""
    from sacrebleu.metrics import CHRF

    return _sacrebleu(CHRF(), hypotheses, references, clusters)


def comet(
    scorer: CometScorer,
    sources: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[str],
    clusters: Clusters = None,
) -> Measurement:
    """Mean COMET (Rei et al. 2020), in the scale of the scorer's model."""
    found = np.asarray(scorer.scores(sources, hypotheses, references), dtype=np.float64)
    if found.shape != (len(sources),):
        raise EvaluationError(
            f"{scorer.signature}: {len(sources)} segments gave scores of shape {found.shape}"
        )
    return mean_measurement(found, scorer.signature, clusters)
