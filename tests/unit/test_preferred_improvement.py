"""What a point is expected to improve for a preference, against Monte Carlo and by hand."""

import time

import numpy as np
import pytest

from mtray.analysis.improvement import boxes, expected_improvement
from mtray.analysis.preference import Utility
from mtray.analysis.preferred_improvement import (
    best_utilities,
    improvement,
    near_floors,
    raised_reference,
    units_of_worth,
    utility_improvement,
)

NONE = -np.inf
PREDICTED = np.array([[0.2, 0.9], [0.5, 0.6], [0.8, 0.3]])
CORNER = np.array([0.1, 0.2])
MEAN, DEVIATION = np.array([[0.6, 0.7], [0.9, 0.4], [0.3, 0.95]]), np.full((3, 2), 0.1)
NOBODY = np.zeros((0, 2))


def preferring(low=(1, 1), high=None, floors=(NONE, NONE)):
    return Utility(*(np.array(part, dtype=float) for part in (low, high or low, floors)))


@pytest.mark.parametrize("floors", [(NONE,) * 3, (NONE, 0.3, NONE), (NONE, 0.3, 0.1), (0, 0, 0.1)])
def test_it_is_what_monte_carlo_finds(floors):
    rng = np.random.default_rng(0)
    mean, deviation = rng.normal(0, 0.5, (4, 3)), rng.uniform(0.2, 1, (4, 3))
    weights, best = rng.uniform(0, 2, (5, 3)), rng.normal(size=5)
    drawn = mean + deviation * rng.standard_normal((200_000, 1, 3))
    reaching = (drawn >= np.array(floors)).all(axis=2)
    gains = np.maximum((drawn[..., None, :] * weights).sum(-1) - best, 0).mean(axis=2) * reaching
    found = utility_improvement(mean, deviation, weights, best, np.array(floors))
    error = gains.std(axis=0) / len(drawn) ** 0.5
    assert (np.abs(found - gains.mean(axis=0)) < 4 * error + 0.02 * found).all()


def test_far_below_a_floor_it_still_grows_towards_it():
    means = np.array([[0.5, -4.0], [0.5, -3.9], [0.5, -1.0]])
    found = utility_improvement(
        means, np.full((3, 2), 0.1), np.ones((1, 2)), np.array([-9.0]), np.array([NONE, -0.5])
    )
    assert 0 < found[0] < found[1] < found[2]


@pytest.mark.parametrize("weight", [0.0, 1.0])
@pytest.mark.parametrize("floor", [-0.5, 1e6, 1e300])
def test_a_floor_that_the_model_gives_no_chance_is_no_improvement(floor, weight):
    with np.errstate(all="raise", under="ignore"):
        found = utility_improvement(
            np.array([[0.5, -9.0], [0.5, 0.0]]), np.full((2, 2), 0.01), np.array([[1.0, weight]]),
            np.array([-9.0]), np.array([NONE, floor]),
        )  # fmt: skip
    assert found[0] < 1e-250
    assert found[1] == pytest.approx(9.5, abs=0.1) if floor < 0 else found[1] < 1e-200


@pytest.mark.parametrize(
    "floor, wanted", [(NONE, NONE), (0.5, 0.5), (0.95, 0.95), (1.2, 1.05), (1e300, 1.05)]
)
def test_a_floor_out_of_reach_is_brought_near(floor, wanted):
    assert near_floors(PREDICTED, np.array([NONE, floor])) == pytest.approx([NONE, wanted])


def test_floors_on_many_objectives_take_no_minutes():
    """All combinations of the values above the floors are looked at: 8 of each were 32,768."""
    started = time.process_time()
    found = utility_improvement(
        np.zeros((1024, 5)), np.ones((1024, 5)), np.ones((32, 5)), np.zeros(32), np.zeros(5)
    )
    exact = 5 * np.sqrt(2 / np.pi) / 2**5  # the sum of five halves of a normal
    assert found == pytest.approx(exact, rel=0.1)
    assert time.process_time() - started < 5


def test_a_floor_raises_the_corner_to_a_little_below_it():
    floors = np.array([NONE, 0.5])
    # the front reaches .4 above it, and a tenth of that lies below
    assert raised_reference(CORNER, PREDICTED, floors, 0.1) == pytest.approx([0.1, 0.46])
    assert raised_reference(CORNER, PREDICTED, np.array([NONE, 0.1]), 0.1) == pytest.approx(CORNER)


def test_a_floor_that_nobody_reaches_is_the_corner():
    found = raised_reference(CORNER, PREDICTED, np.array([NONE, 0.95]), 0.1)
    assert found == pytest.approx([0.1, 0.95])


def test_the_best_so_far_is_of_those_that_reach_the_floors():
    weights = np.array([[1.0, 1.0], [3.0, 1.0]])
    assert best_utilities(PREDICTED, weights, np.full(2, NONE)) == pytest.approx([1.1, 2.7])
    assert best_utilities(PREDICTED, weights, np.array([NONE, 0.5])) == pytest.approx([1.1, 2.1])
    # nobody reaches it: whatever does is better than the least
    assert best_utilities(PREDICTED, weights, np.array([NONE, 0.95])) == pytest.approx([1.1, 1.5])


def test_without_a_preference_it_is_the_hypervolume():
    low, high = boxes(PREDICTED, CORNER)
    expected = expected_improvement(MEAN, DEVIATION, low, high)
    for nothing in (None, preferring(), preferring((5, 5))):
        found = improvement(PREDICTED, CORNER, nothing, NOBODY, 0.1)(MEAN, DEVIATION)
        assert (found == expected).all()


@pytest.mark.parametrize(
    "prefer, best",
    [
        (preferring((20, 1)), 1),
        (preferring((1, 20)), 2),
        (preferring((1, 1), (1, 39)), 2),
        (preferring(floors=(NONE, 0.85)), 2),
        (preferring(floors=(0.8, NONE)), 1),
        (preferring((20, 1), floors=(NONE, 0.85)), 2),
    ],
)
def test_it_prefers_what_the_user_prefers(prefer, best):
    anchors = np.array([[0.2, 0.9], [0.8, 0.3]])
    found = improvement(PREDICTED, CORNER, prefer, anchors, 0.1)(MEAN, DEVIATION)
    assert int(np.argmax(found)) == best


def test_nothing_feasible_yet():
    for prefer in (preferring((3, 1)), preferring(floors=(NONE, 0.5))):
        found = improvement(NOBODY, CORNER, prefer, NOBODY, 0.1)(MEAN, DEVIATION)
        assert (found > 0).all() and np.isfinite(found).all()


def test_units_of_worth_reach_over_the_baselines():
    assert units_of_worth(PREDICTED, np.array([[0.0, 1.0]])) == pytest.approx([0.8, 0.7])
    assert units_of_worth(np.ones((2, 2)), NOBODY) == pytest.approx([1, 1]), "nothing differs"
