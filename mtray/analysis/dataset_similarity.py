"""Distances between two data sets, or two models trained on them (2410.16006, "Exploring Two-Phase
Continual Instruction Fine-tuning", section 3)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest

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


def parameter_difference(
    a: Iterable[tuple[str, npt.ArrayLike]], b: Iterable[tuple[str, npt.ArrayLike]]
) -> float:
    """MPD: the mean over weight tensors of the Euclidean norm of their difference.

    `a` and `b` give (name, tensor) of two models that were fine-tuned from the same base, in the
    same order. They may be generators, so that only two tensors are in memory at a time. The unit
    is that of the weights, so values can be compared within one base model only; the paper scales
    by the largest of a study. Raises EvaluationError if names or shapes differ, there are none, or
    a value is not finite.
    """
    norms: list[float] = []
    nothing = ("nothing", np.zeros(0))
    for (name, one), (other, two) in zip_longest(a, b, fillvalue=nothing):
        x, y = np.asarray(one, dtype=np.float64), np.asarray(two, dtype=np.float64)
        if name != other or x.shape != y.shape:
            raise EvaluationError(
                f"tensors do not pair up: {name} of shape {x.shape}, {other} of shape {y.shape}"
            )
        norms.append(float(np.linalg.norm((x - y).ravel())))
    if not norms or not np.isfinite(norms).all():
        raise EvaluationError(
            "a difference of tensors is not finite" if norms else "no tensors to compare"
        )
    return float(np.mean(norms))
