"""Similarity of two data sets (2410.16006, "Exploring Two-Phase Continual Instruction
Fine-tuning", section 3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mtray.analysis.uncertainty import Array
from mtray.errors import EvaluationError


def embedding_similarity(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """DES: the cosine of the mean embeddings of two data sets, -1 to 1.

    `a` and `b` have a row for each instruction, shapes (n, dimensions) and (m, dimensions); the
    paper embeds with LaBSE. The rows are averaged as they are, without scaling to length 1. Raises
    EvaluationError if a set is empty, the dimensions differ, a number is not finite or a mean is
    zero, which has no direction.
    """
    first, second = (_mean(np.asarray(rows, dtype=np.float64)) for rows in (a, b))
    if first.shape != second.shape:
        raise EvaluationError(
            f"embeddings of {first.size} and of {second.size} dimensions do not compare"
        )
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


def _mean(rows: Array) -> Array:
    if rows.ndim != 2 or not rows.size:
        raise EvaluationError(
            f"expected embeddings of shape (rows, dimensions), found {rows.shape}"
        )
    mean = np.asarray(rows.mean(axis=0))
    if not np.isfinite(mean).all() or not mean.any():
        raise EvaluationError("the mean embedding is zero or not finite; it has no direction")
    return mean
