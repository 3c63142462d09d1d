"""Choosing among recipes, by values worked out by hand."""

from statistics import NormalDist

import numpy as np
import pytest

from mtray.analysis.decision import (
    MARGIN,
    chance_better,
    choose,
    needed,
    preferred_chances,
    scales,
    worth,
)
from mtray.analysis.preference import Utility


def test_the_scale_is_how_far_the_front_reaches_from_the_untouched_model():
    means = np.array([[0.02, -0.1], [0.01, -0.3], [0.04, -0.2]])
    # the second is dominated; the front and the untouched model reach over .04 and .2
    assert scales(means, np.zeros(2)) == pytest.approx([0.04, 0.2])


def test_a_front_that_reaches_no_further_than_rounding_reaches_nowhere():
    assert scales([[0.1, 0.2], [0.1 + 1e-15, 0.1]], [0.1, 0.0]).tolist() == [0.0, 0.2]


def test_an_untouched_model_that_is_dominated_still_counts():
    assert scales(np.array([[0.02, 0.1]]), np.zeros(2)) == pytest.approx([0.02, 0.1])


def test_worth_is_the_sum_in_units_of_the_scale():
    assert worth(np.array([[0.02, -0.1]]), np.array([0.04, 0.2])) == pytest.approx([0.0])
    assert worth(np.array([0.02, 5.0]), np.array([0.04, 0.0])) == pytest.approx(0.5), "no say"


def test_the_best_by_hand():
    draws = np.array([[1.0, 0.0, 0.5], [1.0, 2.0, 0.5], [1.0, 0.0, 0.5], [1.0, 1.05, 3.0]])
    found = choose(draws)
    # means 1, .76, 1.125
    assert found.best == 2
    # worth more by over .1: the first in three draws of four, the second in one of these
    assert found.probability == pytest.approx(0.25)
    assert found.chances == pytest.approx([0.5, 0.25, 0.25])
    assert found.rival == 0
    assert found.lead == pytest.approx(0.125)


def test_recipes_that_are_alike_within_the_margin_are_all_right():
    rng = np.random.default_rng(0)
    draws = 1 + rng.uniform(-0.04, 0.04, (100, 5))
    assert choose(draws).probability == 1.0


def test_one_candidate_has_no_rival():
    found = choose(np.ones((10, 1)))
    assert (found.best, found.probability, found.rival) == (0, 1.0, None)


@pytest.mark.parametrize("draws", [np.zeros((0, 2)), np.zeros(3), np.zeros((2, 0))])
def test_draws_of_another_shape(draws):
    with pytest.raises(ValueError, match="draws of shape"):
        choose(draws)


def test_weights_belong_to_units_of_worth():
    values, scale = np.array([[0.02, -0.1]]), np.array([0.04, 0.2])
    assert worth(values, scale, np.array([1.5, 0.5])) == pytest.approx([0.5])


def test_a_floor_comes_before_worth():
    """The second is worth most and reaches the floor in one draw of four, the third in three."""
    draws = np.array([[0.0, 2.0, 1.0]] * 4)
    short = np.array([[0, 0, 0], [0, 0.4, 0], [0, 0.4, 0], [0, 0.4, 0.05]])
    found = choose(draws, shortfall=short)
    assert found.best == 2
    assert found.reaches == pytest.approx([1, 0.25, 0.75])
    # in the first draw the second reaches it and is worth more; in the last the first alone
    # reaches it, but the third misses it by less than the margin
    assert found.probability == pytest.approx(0.75)
    assert found.chances == pytest.approx([0.25, 0.25, 0.5])
    assert found.rival == 1
    # leads over it: -1 of worth in the first draw, then .4 and .35 nearer to the floor
    assert found.lead == pytest.approx((-1 + 0.4 + 0.4 + 0.35) / 4)
    assert chance_better(draws, short, 1, 2) == pytest.approx(0.25)
    assert chance_better(draws, short, 0, 2) == pytest.approx(0.25)


def test_where_none_probably_reaches_the_floor_the_nearest_is_the_best():
    draws = np.array([[0.0, 2.0], [0.0, 2.0], [0.0, 2.0]])
    short = np.array([[0.2, 0.5], [0.2, 0.5], [0.0, 0.0]])
    found = choose(draws, shortfall=short)
    assert (found.best, found.rival) == (0, 1)
    assert found.probability == pytest.approx(2 / 3)


def test_without_a_shortfall_floors_change_nothing():
    draws = np.random.default_rng(0).normal(size=(500, 6))
    one, other = choose(draws), choose(draws, shortfall=np.zeros_like(draws))
    assert (one.best, one.probability, one.rival) == (other.best, other.probability, other.rival)
    assert (one.lead, one.deviation) == (other.lead, other.deviation)


VALUES = np.array([[[0.0, 1.0], [0.5, 0.9], [0.6, 0.5], [1.0, 0.2], [0.4, 0.8]]])
FLOORS = Utility(np.ones(2), np.ones(2), np.array([-np.inf, 0.5]))


@pytest.mark.parametrize(
    "prefer, chances",
    [
        (Utility(np.ones(2), np.ones(2), np.full(2, -np.inf)), [1, 1, 1, 1, 0]),
        (FLOORS, [1, 1, 1, 0, 0]),
        (FLOORS.shifted(np.array([0.0, -0.6])), [1, 0, 0, 0, 0]),  # nobody reaches 1.1
        (Utility(*np.array([[4.0, 1.0]] * 2), np.full(2, -np.inf)), [0, 0, 0, 1, 0]),
        (Utility(*np.array([[4.0, 1.0]] * 2), FLOORS.floors), [0, 1, 1, 0, 0]),
    ],
)
def test_the_preferred_part_of_a_front(prefer, chances):
    """Weights 4:1 make worths of .4, 1.16, 1.16, 1.68 and .96, in units of 1."""
    weights = prefer.weights(1, 0)
    found = preferred_chances(VALUES, np.ones(2), prefer, weights)
    assert found.tolist() == chances


AIM = (0.2 + MARGIN) / NormalDist().inv_cdf(0.95)  # 1.6449


@pytest.mark.parametrize(
    "deviation, by_seeds, seeds, expected",
    [
        pytest.param(0.1, (0.05, 0.05), (1, 1), (0, 1.0), id="it is sure already"),
        # aim^2 = .0333; by seeds .08, rest .01: .01 + .08 / n <= .0333 from n = 4 on
        pytest.param(0.3, (0.2, 0.2), (1, 1), (3, None), id="seeds"),
        # rest .08 alone is more than the aim, and .08 / (.0333 - .01) = 3.4 times the segments do
        pytest.param(0.3, (0.1, 0.0), (1, 1), (None, 0.08 / (AIM**2 - 0.01)), id="segments"),
        pytest.param(0.3, (0.0, 0.2), (0, 0), (None, 0.09 / AIM**2), id="neither has seeds"),
        # .05 by seeds and a rest that is all the aim but 1e-12: .05 / m <= 1e-12
        pytest.param(
            (AIM**2 - 1e-12 + 0.05) ** 0.5,
            (0.05**0.5, 0.0),
            (1, 0),
            (pytest.approx(5e10, rel=0.01), None),
            id="next to no number",
        ),
        # a half of .06 each, of seeds and rest: neither alone
        pytest.param(0.12**0.5, (0.06**0.5, 0.0), (1, 1), (None, None), id="both"),
    ],
)
def test_what_it_takes_by_hand(deviation, by_seeds, seeds, expected):
    found = needed(0.2, deviation, by_seeds, seeds)
    assert found.repeats == expected[0]
    assert found.segments == (expected[1] if expected[1] is None else pytest.approx(expected[1]))
