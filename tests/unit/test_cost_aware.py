"""mtray's own suggestion, on functions whose best points are known."""

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from mtray.analysis.gaussian_process_fit import LONG
from mtray.analysis.preference import Utility
from mtray.schema import Budget
from mtray.search.strategy import cost_aware, surrogates
from mtray.search.strategy.cost_aware import (
    COST_EXPONENT,
    ON_FRONT,
    Observation,
    Observations,
    SearchDomain,
    _thinned,
    cost_exponent,
    suggest,
)
from mtray.search.strategy.samplers import space_filling
from mtray.search.strategy.surrogates import MOST
from mtray.search_space.unit_cube import UnitCube, at_quantile, snapped, unit_of

DISTRIBUTIONS = {
    "x": FloatDistribution(0, 1),
    "n": IntDistribution(1, 100, log=True),
    "k": CategoricalDistribution((0, 2)),
    "fixed": FloatDistribution(3, 3),
}


def objectives(p):
    """The front is x = 0.3, k = 2, any n: more of it is more of the first and less of the other."""
    good = -((p["x"] - 0.3) ** 2) - (0.3 if p["k"] == 0 else 0.0)
    share = np.log(p["n"]) / np.log(100)
    return [good + share, good + 1 - share**2]


def known(count=24, signs=(1, 1), cost=lambda p: 1.0, over=lambda p: {}):
    points = space_filling(DISTRIBUTIONS, count, seed=3)
    ended = [
        (
            p,
            Observation(
                [s * v for s, v in zip(signs, objectives(p), strict=True)], cost(p), over(p)
            ),
        )
        for p in points
    ]
    return Observations(ended, [], signs)


def suggestions(found, where=None, seeds=5):
    return [suggest(where or SearchDomain(DISTRIBUTIONS), found, seed) for seed in range(seeds)]


FEW_AND_MANY = (24, MOST + 20)  # the processes of the latter are sparse


@pytest.mark.parametrize("count", FEW_AND_MANY)
def test_it_goes_where_the_front_is(count):
    for params in suggestions(known(count), seeds=3):
        assert params.keys() == DISTRIBUTIONS.keys() and params["fixed"] == 3
        assert params["k"] == 2 and abs(params["x"] - 0.3) < 0.2
        assert isinstance(params["n"], int) and 1 <= params["n"] <= 100


def test_objectives_to_be_minimised_are_as_good():
    assert suggestions(known(signs=(-1, -1))) == suggestions(known())


@pytest.mark.parametrize("count", FEW_AND_MANY)
def test_what_costs_more_is_tried_less(count):
    found = known(count, cost=lambda p: 1e9 if p["n"] > 10 else 1.0)
    assert all(p["n"] <= 10 for p in suggestions(found, seeds=3))
    assert any(p["n"] > 10 for p in suggestions(known(count), seeds=3))


@pytest.mark.parametrize("cost", [-5.0, 0.0, float("nan"), float("inf"), None])
def test_a_cost_that_is_none_is_left_out(cost):
    """A cost below 0 ended the sweep."""
    points = space_filling(DISTRIBUTIONS, 24, seed=3)
    odd = known(cost=lambda p: cost if p == points[0] else 1.0 + p["n"])
    none = known(cost=lambda p: None if p == points[0] else 1.0 + p["n"])
    assert suggestions(odd, seeds=2) == suggestions(none, seeds=2)


@pytest.mark.parametrize(
    "budget, exponent",
    [({}, 0.0), ({"trials": 30}, 0.0), ({"device_hours": 2.0}, COST_EXPONENT),
     ({"trials": 30, "max_minutes": 60.0}, COST_EXPONENT), ({"trial_minutes": 5.0}, 0.0)],
)  # fmt: skip
def test_cost_counts_where_the_budget_is_of_time(budget, exponent):
    assert cost_exponent(Budget(**budget)) == exponent


def test_where_trials_are_counted_cost_does_not_matter():
    where = SearchDomain(DISTRIBUTIONS, cost_exponent=0.0)
    dear = known(cost=lambda p: 1e9 if p["n"] > 10 else 1.0)
    assert suggestions(dear, where) == suggestions(known(), where)


@pytest.mark.parametrize("count", FEW_AND_MANY)
def test_constraints_are_kept(count):
    found = known(count, over=lambda p: {"limit": 0.5 - p["x"]})
    for params in suggestions(found, seeds=3):
        assert params["x"] > 0.4


def test_the_boxes_of_three_objectives_stay_few():
    angles = np.linspace(0.1, 1.4, 400)
    front = np.column_stack([np.cos(angles), np.sin(angles), np.sin(3 * angles)])
    found = _thinned(front)
    assert len(found) <= ON_FRONT and {*found.argmax(axis=0)} == {0, 1, 2}
    assert (found.max(axis=0) == front.max(axis=0)).all()
    pairs = front[:, :2]
    assert len(_thinned(pairs)) == len(pairs)


def test_where_nothing_is_feasible_it_looks_for_what_is():
    for params in suggestions(known(over=lambda p: {"limit": 1.2 - p["x"]})):
        assert params["x"] > 0.7


def test_what_may_not_be_tried_is_not():
    where = SearchDomain(DISTRIBUTIONS, allowed=lambda p: p["n"] < 20)
    assert all(p["n"] < 20 for p in suggestions(known(), where))


def test_a_guess_is_believed_less_with_every_point():
    where = SearchDomain(DISTRIBUTIONS, guesses={"x": 0.9})
    few, many = suggestions(known(4), where), suggestions(known(60), where)
    assert np.mean([p["x"] for p in few]) > 0.6
    assert np.mean([p["x"] for p in many]) < 0.5


def test_a_pending_point_moves_the_next():
    free = known()
    first = suggest(SearchDomain(DISTRIBUTIONS), free, 1)
    busy = Observations(free.ended, [first], free.signs)
    assert suggest(SearchDomain(DISTRIBUTIONS), busy, 1) != first


def test_the_same_is_suggested_again():
    assert suggestions(known()) == suggestions(known())
    with pytest.raises(ValueError, match="3 are needed"):
        suggest(SearchDomain(DISTRIBUTIONS), known(2), 1)


def test_a_baseline_outside_the_ranges_is_a_point_too():
    found = known()
    outside = {**found.ended[0][0], "x": 2.0}
    more = Observations([*found.ended, (outside, Observation([0.0, 0.0]))], [], found.signs)
    assert 0 <= suggest(SearchDomain(DISTRIBUTIONS), more, 1)["x"] <= 1


def preferring(weights=(1, 1), floors=(-np.inf, -np.inf)):
    ends = np.array(weights, dtype=float)
    return SearchDomain(DISTRIBUTIONS, prefer=Utility(ends, ends, np.array(floors, dtype=float)))


def test_equal_weights_are_no_preference():
    assert suggestions(known(), preferring((3, 3))) == suggestions(known())


def test_weights_decide_which_part_of_the_front_is_tried():
    first, second = (
        [np.log(p["n"]) for p in suggestions(known(), preferring(weights))]
        for weights in ((20, 1), (1, 20))
    )
    assert min(first) > max(second)


def test_a_floor_leaves_the_rest_of_the_front():
    """The second objective is 1 less the squared share of n at best; a floor of .7 asks for n of at
    most 12."""
    for params in suggestions(known(), preferring(floors=(-np.inf, 0.7))):
        assert params["n"] < 20
    assert max(p["n"] for p in suggestions(known())) > 20


def test_objectives_to_be_minimised_keep_to_their_floor():
    where = preferring(floors=(-np.inf, 0.7))
    assert suggestions(known(signs=(-1, -1)), where) == suggestions(known(), where)


def test_the_base_model_and_the_baselines_make_the_units():
    found = known(signs=(1, -1))
    baseline = (found.ended[0][0], Observation([1.0, 2.0], baseline=True))
    some = Observations([*found.ended, baseline], [], found.signs, [3.0, 4.0])
    assert some.anchors.tolist() == [[1.0, -2.0], [3.0, -4.0]]
    assert found.anchors.shape == (0, 2)


RANGES = [
    FloatDistribution(0.1, 10, log=True),
    FloatDistribution(-1, 3),
    FloatDistribution(0, 1, step=0.2),
    IntDistribution(1, 9),
    IntDistribution(0, 20, step=5),
    IntDistribution(1, 300, log=True),
    CategoricalDistribution((4, 2, 8)),
]


@pytest.mark.parametrize("d", RANGES)
def test_coordinates_and_values_are_inverse(d):
    units = np.linspace(0, 1 - 1e-9, 101)
    values = [at_quantile(d, float(u)) for u in units]
    for unit, value in zip(units, values, strict=True):
        assert at_quantile(d, unit_of(d, value)) == pytest.approx(value)
        if not isinstance(d, CategoricalDistribution):
            assert snapped(d, np.array([unit]))[0] == pytest.approx(unit_of(d, value), abs=1e-9)


def test_features_of_a_category_are_one_hot():
    cube = UnitCube(DISTRIBUTIONS)
    assert cube.dimensions == 3
    found = cube.features(np.array([cube.units({"x": 0.25, "n": 1, "k": k}) for k in (0, 2)]))
    assert found[:, 0] == pytest.approx([0.25, 0.25])
    assert found[:, 2:].tolist() == [[0.5, 0.0], [0.0, 0.5]]


def test_values_that_a_condition_switched_off_tell_nothing():
    where = SearchDomain(
        DISTRIBUTIONS, {"n": 50}, switched_off=lambda p: {"n"} if p["k"] == 0 else ()
    )
    found = known()
    rng = np.random.default_rng(1)
    others = [
        ({**p, "n": int(rng.integers(1, 100))} if p["k"] == 0 else p, told)
        for p, told in found.ended
    ]
    assert others != found.ended
    again = Observations(others, found.pending, found.signs)
    assert suggestions(again, where) == suggestions(found, where)
    assert suggestions(again) != suggestions(found), "without the condition they do"


@pytest.mark.parametrize(
    ("guesses", "short"), [({}, True), ({"x": 0.5}, False), ({"elsewhere": 1.0}, True)]
)
def test_without_a_guess_the_models_know_less_far_from_the_trials(monkeypatch, guesses, short):
    seen = []

    def fitted(*args, **kwargs):
        seen.append(args[3])
        return surrogates.fitted(*args, **kwargs)

    monkeypatch.setattr(cost_aware, "fitted", fitted)
    suggest(SearchDomain(DISTRIBUTIONS, guesses), known(), 0)
    assert len(seen) == 2, "objectives, and the cost"
    for scales in seen:
        assert {*scales} == {surrogates.SHORT if short else LONG}
