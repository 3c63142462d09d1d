"""The sampler's side of the search, without a run folder."""

import threading

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from mtray.errors import ConfigError
from mtray.search.strategy.cost_aware import Observation, SearchDomain
from mtray.search.strategy.samplers import NAMES, space_filling
from mtray.search.strategy.suggester import Suggester, SuggestionPrefetcher
from mtray.search_space.parameters import holds

DISTRIBUTIONS = {
    "a": FloatDistribution(0, 1),
    "b": IntDistribution(1, 100, log=True),
    "c": CategoricalDistribution((0, 1, 2)),
}


def suggester(sampler="tpe", **options):
    return Suggester(
        SearchDomain(DISTRIBUTIONS), ["max", "min"], sampler, **({"startup": 4} | options)
    )


def told(sampler, count=8):
    found = suggester(sampler)
    for number in range(count):
        params, notes = found.suggest(number)
        found.add(number, params, Observation([params["a"], params["b"]]), notes)
    return found


@pytest.mark.parametrize("sampler", NAMES)
def test_asking_changes_nothing(sampler):
    found = told(sampler, 6)
    assert found.suggest(6) == found.suggest(6)
    params, _ = found.suggest(6)
    assert all(holds(d, params[n]) for n, d in DISTRIBUTIONS.items())


@pytest.mark.parametrize("sampler", NAMES)
def test_what_is_not_allowed_is_not_suggested(sampler):
    where = SearchDomain(DISTRIBUTIONS, allowed=lambda params: params["a"] < 0.5)
    found = Suggester(where, ["max", "min"], sampler, startup=2)
    for number in range(3 if sampler == "gp" else 6):  # Optuna's process takes half a minute
        params, notes = found.suggest(number)
        assert params["a"] < 0.5
        found.add(number, params, Observation([params["a"], params["b"]]), notes)


SPACES = {
    "mixed": (DISTRIBUTIONS, lambda p: p["a"] < 0.15),
    "nearly nothing": (DISTRIBUTIONS, lambda p: p["a"] < 0.3 and p["b"] < 3 and p["c"] == 2),
    "few values": (
        {"b": IntDistribution(1, 40), "c": CategoricalDistribution((0, 1))},
        lambda p: (p["b"] + p["c"]) % 2,
    ),
    "all": (DISTRIBUTIONS, None),
}


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("order", ["as it comes", "backwards", "every other"])
def test_no_point_of_sobol_comes_twice(space, order):
    """Whether it goes on, starts again for every point, or is asked in another order."""
    distributions, allowed = SPACES[space]
    where = SearchDomain(distributions, allowed=allowed)
    one = Suggester(where, ["max", "min"], "sobol")
    found = [one.suggest(number)[0] for number in range(20)]
    assert len({tuple(params.values()) for params in found}) == 20
    assert all(allowed is None or allowed(params) for params in found)
    numbers = {
        "as it comes": range(20),
        "backwards": reversed(range(20)),
        "every other": [*range(0, 20, 2), *range(1, 20, 2)],
    }[order]
    again = Suggester(where, ["max", "min"], "sobol")
    for number in numbers:
        assert again.suggest(number)[0] == found[number]
        assert Suggester(where, ["max", "min"], "sobol").suggest(number)[0] == found[number]
    # what was told changes nothing
    again.add(0, found[0], Observation([0.1, 0.2]))
    again.drop(1)
    assert [again.suggest(number)[0] for number in range(20)] == found
    # the sequence itself, without what is not allowed
    rest = [p for p in space_filling(distributions, 4096, 1) if allowed is None or allowed(p)]
    assert list({tuple(p.values()): p for p in rest}.values())[:20] == found


def test_values_that_a_condition_switches_off_make_no_other_point():
    where = SearchDomain(
        {"a": CategoricalDistribution((0, 1)), "b": IntDistribution(1, 9)},
        switched_off=lambda p: set() if p["a"] else {"b"},
    )
    found = [Suggester(where, ["max"], "sobol").suggest(number)[0] for number in range(12)]
    recipes = [(p["a"], p["b"] if p["a"] else None) for p in found]
    assert len(set(recipes[:10])) == 10
    assert found[10:] == found[:2], "there are no more, so it begins again"


@pytest.mark.parametrize("sampler", ["auto", "tpe", "nsga2", "sobol", "random"])
def test_where_no_recipe_is_allowed_it_says_so(sampler):
    found = Suggester(SearchDomain(DISTRIBUTIONS, allowed=lambda _: False), ["max", "min"], sampler)
    for number in range(4):
        params = {"a": number / 4, "b": 3, "c": 0}
        found.add(number, params, Observation([params["a"], params["b"]]))
    with pytest.raises(ConfigError, match=r"none of 4,096 recipes .* respects the `max_repeats`"):
        found.suggest(4)


@pytest.mark.parametrize("sampler", ["auto", "tpe", "nsga2", "nsga3", "sobol", "random"])
def test_a_suggestion_hangs_on_the_points_and_not_on_the_order_of_asking(sampler):
    through, again = told(sampler), suggester(sampler)
    for number in range(8):
        params, notes = through_params(through, number)
        again.add(number, params, attributes=notes)
    for number in reversed(range(8)):
        params, _ = through_params(through, number)
        again.add(number, params, Observation([params["a"], params["b"]]))
    assert again.suggest(8) == through.suggest(8)
    assert again.finished == through.finished == 8


def through_params(found, number):
    trial = found._shadow._study._storage.get_trial(found._shadow._ids[number])
    return trial.params, trial.system_attrs


def test_a_pending_point_moves_the_next_one():
    found = told("gp", 5)
    free, _ = found.suggest(5)
    found.add(5, free)
    assert found.suggest(6)[0] != free
    found.drop(5)
    assert found.suggest(5)[0] == free
    found.drop(99)


def test_of_points_outside_the_ranges_optuna_hears_nothing():
    found = suggester()
    found.add(0, {"a": 1.5, "b": 3, "c": 0}, Observation([1.0, 1.0]))
    found.add(1, {"a": 0.5, "b": 3}, Observation([1.0, 1.0]))
    found.add(2, {"a": 0.5, "b": 3, "c": 0}, Observation([1.0, 1.0]))
    assert found._shadow._ids.keys() == {2}
    assert found.finished == 2, "but one without all parameters is no point at all"


def test_an_infeasible_point_is_told_as_one():
    found = suggester()
    found.add(0, {"a": 0.5, "b": 3, "c": 0}, Observation([1.0, 1.0], over={"floor": 0.2}))
    trial = found._shadow._study._storage.get_trial(found._shadow._ids[0])
    assert trial.constraints == {"floor": 0.2}


def test_an_unknown_sampler_is_refused():
    with pytest.raises(ConfigError, match="'grid' is unknown"):
        Suggester(SearchDomain(DISTRIBUTIONS), ["max"], "grid")


class Slow:
    """A suggester whose answers wait until they are let go."""

    def __init__(self):
        self.go, self.asked = threading.Semaphore(0), []

    def suggest(self, number):
        self.asked.append(number)
        self.go.acquire()
        return {"n": number, "asked": len(self.asked)}, {}


def test_ahead_never_waits_and_hands_each_out_once():
    slow = Slow()
    ahead = SuggestionPrefetcher(slow)
    assert ahead.take(3) is None, "only begun"
    assert ahead.take(3) is None and slow.asked == [3]
    slow.go.release()
    assert ahead.take(3, wait=True)[0] == {"n": 3, "asked": 1}
    ahead.refresh(4)
    ahead.refresh(4)  # something happened meanwhile: worked out again after this one
    slow.go.release()
    ahead._running.result()
    assert ahead.take(4)[0] == {"n": 4, "asked": 2}, "the older answer, rather than none"
    slow.go.release()
    assert ahead.take(5, wait=False) is None
    slow.go.release(3)
    assert ahead.take(5, wait=True)[0]["n"] == 5


def test_ahead_raises_what_the_sampler_raised():
    class Broken:
        def suggest(self, number):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        SuggestionPrefetcher(Broken()).take(0, wait=True)
