"""Optuna's samplers on points in memory."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from mtray.search.strategy.cost_aware import Observation, SearchDomain
from mtray.search.strategy.samplers import sampler_for
from mtray.search.strategy.shadow_study import FINE, ShadowStudy, smooth
from mtray.search.strategy.suggester import Suggester

SPACE = {
    "parallel_size": IntDistribution(128, 4096, log=True),
    "frozen_layers": IntDistribution(0, 5),
    "mono_ratio": FloatDistribution(0.0, 1.0),
}


def told_points(suggester: Suggester, count: int) -> None:
    rng = np.random.default_rng(1)
    for number in range(count):
        params, notes = suggester.suggest(number)
        suggester.add(number, params, attributes=notes)
        size = np.log2(params["parallel_size"] / 128) / 5
        values = [size + 0.01 * rng.standard_normal(), -size + params["mono_ratio"]]
        suggester.add(number, params, Observation(values))


def test_a_range_of_many_whole_numbers_is_a_continuous_one_and_others_stay():
    assert smooth(SPACE["parallel_size"]) == FloatDistribution(128, 4097, log=True)
    for kept in (SPACE["frozen_layers"], SPACE["mono_ratio"], IntDistribution(0, 1000, step=10)):
        assert smooth(kept) is kept
    assert smooth(IntDistribution(1, FINE)) == IntDistribution(1, FINE)


@pytest.mark.parametrize("value", [128, 1000, 4096])
def test_whole_numbers_come_out_as_they_went_in(value):
    shadow = ShadowStudy(SPACE, ["max", "max"])
    params = {"parallel_size": value, "frozen_layers": 5, "mono_ratio": 0.3}
    assert shadow._outside(shadow._inside(params)) == params


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_suggestions_lie_within_the_ranges_as_whole_numbers(sampler):
    shadow = ShadowStudy(SPACE, ["max", "max"])
    for number in range(60):
        params, notes = shadow.ask(sampler_for(sampler, 1, number, 4))
        assert type(params["parallel_size"]) is int and 128 <= params["parallel_size"] <= 4096
        shadow.add(number, params, Observation([float(params["parallel_size"]), 0.0]), notes)


def test_a_restart_suggests_the_same():
    first = Suggester(SearchDomain(SPACE), ["max", "max"], "tpe")
    told_points(first, 30)
    again = Suggester(SearchDomain(SPACE), ["max", "max"], "tpe")
    for number, params, told, notes in first._points.values():
        again.add(number, params, told, notes)
    assert again.suggest(30) == first.suggest(30)
