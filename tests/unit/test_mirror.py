"""Optuna's samplers on points in memory."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from mtray.search.cost_aware import Told, Where
from mtray.search.mirror import FINE, Mirror, smooth
from mtray.search.samplers import sampler_for
from mtray.search.suggest import Suggester

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
        suggester.add(number, params, Told(values))


def test_a_range_of_many_whole_numbers_is_a_continuous_one_and_others_stay():
    assert smooth(SPACE["parallel_size"]) == FloatDistribution(128, 4097, log=True)
    for kept in (SPACE["frozen_layers"], SPACE["mono_ratio"], IntDistribution(0, 1000, step=10)):
        assert smooth(kept) is kept
    assert smooth(IntDistribution(1, FINE)) == IntDistribution(1, FINE)


@pytest.mark.parametrize("value", [128, 1000, 4096])
def test_whole_numbers_come_out_as_they_went_in(value):
    mirror = Mirror(SPACE, ["max", "max"])
    params = {"parallel_size": value, "frozen_layers": 5, "mono_ratio": 0.3}
    assert mirror._outside(mirror._inside(params)) == params


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_suggestions_lie_within_the_ranges_as_whole_numbers(sampler):
    mirror = Mirror(SPACE, ["max", "max"])
    for number in range(60):
        params, notes = mirror.ask(sampler_for(sampler, 1, number, 4))
        assert type(params["parallel_size"]) is int and 128 <= params["parallel_size"] <= 4096
        mirror.add(number, params, Told([float(params["parallel_size"]), 0.0]), notes)


def test_a_restart_suggests_the_same():
    first = Suggester(Where(SPACE), ["max", "max"], "tpe")
    told_points(first, 30)
    again = Suggester(Where(SPACE), ["max", "max"], "tpe")
    for number, params, told, notes in first._points.values():
        again.add(number, params, told, notes)
    assert again.suggest(30) == first.suggest(30)
