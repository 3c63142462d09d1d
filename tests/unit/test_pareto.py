"""The front's laws, checked on made-up points against the definition."""

import numpy as np
import pytest
from fresh_process import modules_after
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtray.analysis import pareto

# small whole numbers make ties and duplicates common
points = st.integers(1, 4).flatmap(
    lambda m: arrays(
        np.float64, st.tuples(st.integers(1, 14), st.just(m)), elements=st.integers(-4, 4)
    )
)
two_objectives = arrays(
    np.float64, st.tuples(st.integers(1, 14), st.just(2)), elements=st.integers(-4, 4)
)


def by_definition(values):
    def dominates(a, b):
        return all(x >= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)

    return [not any(dominates(other, point) for other in values) for point in values]


@given(points)
def test_front_is_what_the_definition_says(values):
    assert pareto.non_dominated(values).tolist() == by_definition(values)


@given(points, st.randoms(use_true_random=False))
def test_front_does_not_depend_on_row_order(values, random):
    order = list(range(len(values)))
    random.shuffle(order)
    assert (pareto.non_dominated(values[order]) == pareto.non_dominated(values)[order]).all()


@given(points, st.integers(0, 13), st.integers(0, 3))
def test_a_dominated_point_changes_nothing(values, row, column):
    worse = values[row % len(values)].copy()
    worse[column % values.shape[1]] -= 1
    more = np.vstack([values, worse])
    assert pareto.non_dominated(more).tolist() == [*pareto.non_dominated(values), False]
    assert pareto.knee(more) == pareto.knee(values)
    assert (pareto.front_order(more) == pareto.front_order(values)).all()
    reference = values.min(axis=0) - 2
    assert pareto.hypervolume(more, reference) == pytest.approx(
        pareto.hypervolume(values, reference)
    )


@given(points)
def test_front_order_holds_the_front_best_first(values):
    order = pareto.front_order(values)
    assert sorted(order) == np.flatnonzero(pareto.non_dominated(values)).tolist()
    rows = [tuple(values[i]) for i in order]
    assert rows == sorted(rows, reverse=True)


@given(two_objectives)
def test_with_two_objectives_the_second_rises_along_the_front(values):
    second = values[pareto.front_order(values), 1]
    assert (np.diff(second) >= 0).all()


@given(points, st.integers(0, 13))
def test_hypervolume_grows_with_points(values, row):
    reference = np.full(values.shape[1], -5.0)
    fewer = np.delete(values, row % len(values), axis=0)
    assert pareto.hypervolume(fewer, reference) <= pareto.hypervolume(values, reference) + 1e-9


@given(two_objectives)
def test_hypervolume_counts_the_unit_squares_below_the_front(values):
    corners = [(x, y) for x in range(-5, 5) for y in range(-5, 5)]
    covered = sum(any(p[0] >= x + 1 and p[1] >= y + 1 for p in values) for x, y in corners)
    assert pareto.hypervolume(values, [-5, -5]) == pytest.approx(covered)


def test_hypervolume_with_senses_is_of_the_negated_objective():
    assert pareto.hypervolume([[3, 1], [9, 9]], [0, 5], ["max", "min"]) == pytest.approx(3 * 4)


def test_points_beyond_the_reference_add_nothing():
    assert pareto.hypervolume([[1, -1], [0, 5]], [0, 0]) == 0
    assert pareto.hypervolume(np.empty((0, 2)), [0, 0]) == 0


def test_equal_points_all_stay():
    assert pareto.non_dominated([[1, 1], [1, 1], [0, 0]]).tolist() == [True, True, False]


def test_no_points_have_an_empty_front_and_no_knee():
    none = np.empty((0, 2))
    assert len(pareto.non_dominated(none)) == len(pareto.front_order(none)) == 0
    with pytest.raises(ValueError, match="no points"):
        pareto.knee(none)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("use", [pareto.non_dominated, pareto.knee, pareto.spread])
def test_a_number_that_is_none_is_an_error(bad, use):
    with pytest.raises(ValueError, match=r"points \[1\] is NaN or infinite"):
        use([[0, 1], [bad, 1]])


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="shape"):
        pareto.non_dominated([1, 2, 3])
    with pytest.raises(ValueError, match="reference"):
        pareto.hypervolume([[1, 2]], [0])


def test_senses_are_checked_and_applied():
    assert pareto.maximised([[1, 2]], ["max", "min"]).tolist() == [[1, -2]]
    with pytest.raises(ValueError, match="'up'"):
        pareto.maximised([[1, 2]], ["max", "up"])
    with pytest.raises(ValueError, match="3 senses"):
        pareto.maximised([[1, 2]], ["max"] * 3)


KNEES = {
    "one point": ([[5, 5]], 0),
    "two points: the best in the first objective": ([[0, 1], [1, 0]], 1),
    "a corner": ([[0, 1], [0.9, 0.9], [1, 0]], 1),
    "the farthest of two": ([[0, 1], [0.5, 0.7], [0.8, 0.6], [1, 0]], 2),
    "below the line the extremes win": ([[0, 1], [0.1, 0.1], [1, 0]], 2),
    "units do not matter": ([[0, 1e-6], [9e5, 0.9e-6], [1e6, 0]], 1),
    "a constant objective has no say": ([[0, 1, 7], [0.9, 0.9, 7], [1, 0, 7]], 1),
    "three objectives": ([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0.5]], 3),
    "dominated points have no say": ([[0, 1], [0.9, 0.9], [1, 0], [-99, -99]], 1),
}


@pytest.mark.parametrize("values, expected", KNEES.values(), ids=list(KNEES))
def test_knee(values, expected):
    assert pareto.knee(values) == expected


@given(two_objectives)
def test_knee_is_farthest_from_the_line_through_the_extremes(values):
    front = np.unique(values[pareto.front_order(values)], axis=0)
    if len(front) < 3:
        return
    low, high = front.min(axis=0), front.max(axis=0)
    scaled = (front - low) / (high - low)
    (x0, y0), (x1, y1) = scaled[0], scaled[-1]
    distance = ((x1 - x0) * (y0 - scaled[:, 1]) - (x0 - scaled[:, 0]) * (y1 - y0)) * -1
    found = (values[pareto.knee(values)] == front).all(axis=1)
    assert distance[found][0] == pytest.approx(distance.max())


def test_spread_is_of_the_front_alone():
    assert pareto.spread([[0, 1], [1, 0.5], [-9, -9]]).tolist() == [1, 0.5]
    assert pareto.spread(np.empty((0, 3))).tolist() == [0, 0, 0]


def test_draws_have_the_interval_they_were_made_from():
    value, low, high = [[0.9, 5.0]], [[0.7, 4.0]], [[0.95, 6.0]]
    draws = pareto.interval_draws(value, low, high, draws=40_000, seed=3)
    assert draws.shape == (40_000, 1, 2)
    found = np.quantile(draws, [0.025, 0.5, 0.975], axis=0)[:, 0]
    assert found == pytest.approx(np.array([low[0], value[0], high[0]]), abs=0.02)
    assert (draws == pareto.interval_draws(value, low, high, draws=40_000, seed=3)).all()


def test_an_interval_must_hold_its_value():
    with pytest.raises(ValueError, match="must hold"):
        pareto.interval_draws([[1.0]], [[1.1]], [[1.2]])


def test_front_probability_of_a_clear_and_of_an_open_case():
    value = np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    sure = pareto.front_probability(pareto.interval_draws(value[:2], value[:2], value[:2]))
    assert sure.tolist() == [1, 0]
    # two equal points with equal noise: the first is beaten in both objectives a quarter of the
    # time
    wide = pareto.interval_draws(value[[0, 2]], value[[0, 2]] - 1, value[[0, 2]] + 1, 20_000)
    assert pareto.front_probability(wide) == pytest.approx([0.75, 0.75], abs=0.015)


@settings(max_examples=20)
@given(points)
def test_without_noise_the_probability_is_the_front(values):
    draws = pareto.interval_draws(values, values, values, draws=3)
    assert (pareto.front_probability(draws) == pareto.non_dominated(values)).all()


@pytest.mark.parametrize(
    "module", ["mtray.analysis.pareto, mtray.analysis.uncertainty", "mtray.report.records"]
)
def test_analysis_imports_neither_ray_nor_torch(module):
    assert not {"ray", "torch"} & modules_after(f"import {module}")
