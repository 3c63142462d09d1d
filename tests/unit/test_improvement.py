"""Expected hypervolume improvement against the hypervolume itself."""

import numpy as np
import pytest

from mtray.analysis.improvement import boxes, expected_improvement
from mtray.analysis.pareto import hypervolume


def test_a_staircase_by_hand():
    low, high = boxes(np.array([[1.0, 3.0], [2.0, 1.0], [0.5, 0.5]]), np.zeros(2))
    found = sorted(map(tuple, np.hstack([low, high]).tolist()))
    inf = float("inf")
    assert found == [(0.0, 3.0, inf, inf), (1.0, 1.0, inf, 3.0), (2.0, 0.0, inf, 1.0)]
    # a sure value of (3, 2): above the strips from 0 to 1 and from 1 to 2
    sure = expected_improvement(np.array([[3.0, 2.0]]), np.full((1, 2), 1e-9), low, high)
    assert sure == pytest.approx([1 * 1 + 2 * 1])


@pytest.mark.parametrize("objectives", [2, 3])
def test_the_boxes_are_what_a_point_adds(objectives):
    rng = np.random.default_rng(objectives)
    front, reference = rng.random((8, objectives)), np.full(objectives, 0.1)
    low, high = boxes(front, reference)
    before = hypervolume(front, reference)
    for point in rng.random((50, objectives)) * 1.2:
        added = np.prod(np.maximum(0, np.minimum(point, high) - low), axis=1).sum()
        assert added == pytest.approx(
            hypervolume(np.vstack([front, point]), reference) - before, abs=1e-12
        )


@pytest.mark.parametrize("objectives", [2, 3])
def test_the_expectation_is_the_mean_over_draws(objectives):
    rng = np.random.default_rng(0)
    low, high = boxes(rng.random((6, objectives)), np.zeros(objectives))
    mean, deviation = rng.random((1, objectives)), np.full((1, objectives), 0.3)
    draws = mean + deviation * rng.standard_normal((100_000, objectives))
    gains = sum(
        np.prod(np.maximum(0, np.minimum(draws, h) - b), axis=1)
        for b, h in zip(low, high, strict=True)
    )
    error = gains.std() / len(draws) ** 0.5
    found = expected_improvement(mean, deviation, low, high)[0]
    assert found == pytest.approx(gains.mean(), abs=4 * error)


def test_without_a_front_everything_above_the_reference_is_gain():
    low, high = boxes(np.zeros((0, 2)), np.zeros(2))
    assert expected_improvement(
        np.array([[2.0, 3.0]]), np.full((1, 2), 1e-9), low, high
    ) == pytest.approx([6.0])
