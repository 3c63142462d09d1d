"""Distances between data sets and between models, worked out by hand."""

import subprocess
import sys

import numpy as np
import pytest

from mtray.analysis.dataset_similarity import embedding_similarity
from mtray.errors import EvaluationError


def test_similarity_by_hand():
    # means (2, 0) and (1, 1): 2 / (2 * root 2)
    a, b = [[1, 0], [3, 0]], [[1, 1]]
    assert embedding_similarity(a, b) == pytest.approx(1 / np.sqrt(2))
    assert embedding_similarity(a, a) == pytest.approx(1.0)
    assert embedding_similarity(a, [[-5, 0]]) == pytest.approx(-1.0)
    assert embedding_similarity(a, [[0, 2], [0, 4], [0, 1]]) == pytest.approx(0.0)


def test_rows_are_averaged_as_they_are():
    # (3, 0) and (0, 4) have the mean (1.5, 2), whose cosine with (1, 0) is 0.6; scaled to length 1
    # first it would be 1 / root 2
    assert embedding_similarity([[3, 0], [0, 4]], [[1, 0]]) == pytest.approx(0.6)


def test_size_of_a_set_and_scale_do_not_matter():
    rows = np.random.default_rng(0).normal(size=(7, 5)) + 1
    other = np.random.default_rng(1).normal(size=(3, 5)) + 1
    expected = embedding_similarity(rows, other)
    assert embedding_similarity(np.tile(rows, (2, 1)) * 9, other) == pytest.approx(expected)
    assert embedding_similarity(other, rows) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([[1, 2]], [[1, 2, 3]], "2 and of 3 dimensions"),
        (np.zeros((0, 3)), [[1, 2, 3]], r"found \(0, 3\)"),
        ([1, 2], [[1, 2]], r"found \(2,\)"),
        ([[1, 0], [-1, 0]], [[1, 2]], "no direction"),
        ([[np.nan, 0]], [[1, 2]], "not finite"),
    ],
)
def test_bad_embeddings(a, b, message):
    with pytest.raises(EvaluationError, match=message):
        embedding_similarity(a, b)


def test_importing_is_light():
    code = "import sys, mtray.analysis.dataset_similarity; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
