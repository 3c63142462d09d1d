"""sacrebleu: statistics of segments, and paths of its cache. Tested with 2.6.0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def segment_statistics(
    metric: Any, hypotheses: Sequence[str], references: Sequence[str]
) -> list[list[float]]:
    """The counts of a metric (BLEU, chrF) in each segment, whose sum gives the corpus score.

    Private: `_extract_corpus_statistics`. The public interface gives scores alone, from which
    resampled corpora cannot be scored. Without it BLEU's counts are read from the score of each
    segment as a corpus; chrF's score does not hold its counts: raises AttributeError then.
    """
    if hasattr(metric, "_extract_corpus_statistics") or not _is_bleu(metric):
        found: list[list[float]] = metric._extract_corpus_statistics(
            list(hypotheses), [list(references)]
        )
        return found
    scores = [
        metric.corpus_score([hypothesis], [[reference]])
        for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]
    return [[s.sys_len, s.ref_len, *s.counts, *s.totals] for s in scores]


def score_of_sums(metric: Any, sums: list[float]) -> float:
    """The corpus score, 0-100, from summed segment statistics.

    Private: `_compute_score_from_stats`. Without it BLEU's public `compute_bleu` takes the sums;
    chrF raises AttributeError.
    """
    if hasattr(metric, "_compute_score_from_stats") or not _is_bleu(metric):
        return float(metric._compute_score_from_stats(sums).score)
    order = metric.max_ngram_order
    found = metric.compute_bleu(
        correct=sums[2 : 2 + order], total=sums[2 + order :], sys_len=int(sums[0]),
        ref_len=int(sums[1]), smooth_method=metric.smooth_method,
        smooth_value=metric.smooth_value, effective_order=metric.effective_order,
        max_ngram_order=order,
    )  # fmt: skip
    return float(found.score)


def _is_bleu(metric: Any) -> bool:
    from sacrebleu.metrics import BLEU

    return isinstance(metric, BLEU)


def cache_folder(dataset: Any) -> Path:
    """The folder in which sacrebleu stores a test set.

    Private: `_outdir`. Without it, the documented path: the set's name in the cache.
    """
    from sacrebleu import SACREBLEU_DIR

    return Path(getattr(dataset, "_outdir", None) or Path(SACREBLEU_DIR) / dataset.name)


def downloads(dataset: Any) -> dict[str, Path]:
    """The files that sacrebleu downloads for a test set: path by URL.

    Private: `_rawdir` and `_get_tarball_filename`. They tell whether a set must be downloaded
    before sacrebleu tries to, which may take minutes without a network. Without them no file counts
    as missing, and sacrebleu tries.
    """
    name_of = getattr(dataset, "_get_tarball_filename", None)
    folder = getattr(dataset, "_rawdir", None)
    if name_of is None or folder is None:
        return {}
    return {str(url): Path(folder) / name_of(url) for url in dataset.data}


def piece_model(tokenizer: str) -> tuple[Path, str]:
    """The path at which sacrebleu stores the SentencePiece model of `flores101` or `flores200`, and
    its URL.

    Undocumented: `SPM_MODELS` and the folder `models`. The public interface only downloads it to a
    path of sacrebleu's choice, which gives no information if that fails.
    """
    from sacrebleu.tokenizers import tokenizer_spm

    url = str(tokenizer_spm.SPM_MODELS[tokenizer]["url"])
    return Path(tokenizer_spm.SACREBLEU_DIR) / "models" / url.rsplit("/", 1)[-1], url
