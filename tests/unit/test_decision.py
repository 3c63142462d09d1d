"""Choosing among recipes, by values worked out by hand."""

from statistics import NormalDist

import numpy as np
import pytest

from mtray.analysis.decision import MARGIN, choose, needed, scales, worth


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
