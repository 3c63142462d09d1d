"""A parameter with one value is searched, reported and taken over like any other, and every
suggestion lies within its range."""

import csv
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution, IntDistribution
from surface_factory import OBJECTIVES, make_run, write_made_up
from warmstart_factory import narrow, run, searched, taken_from

from mtray.cli import main
from mtray.errors import ConfigError, RunError
from mtray.report.laws import grid
from mtray.report.records import read_records, write_record
from mtray.report.surface import Coordinates, modelled
from mtray.report.untrained_recipes import recipes_at, spread_points
from mtray.schema import Recipe
from mtray.search.strategy.cost_aware import Observation, SearchDomain
from mtray.search.strategy.samplers import NAMES, SOBOL
from mtray.search.strategy.suggester import Suggester
from mtray.search_space.parameters import FloatRange, IntRange, holds, within
from mtray.search_space.space import Space, load_space
from mtray.search_space.unit_cube import at_quantile

LORA = "{method: {among: [lora]}}"
# what is written -> parameter and its only value
SINGLE = {
    "float": ("few_shot_share: {type: float, low: 0.3, high: 0.3}", "few_shot_share", 0.3),
    "at 0": ("few_shot_share: {type: float, low: 0, high: 0}", "few_shot_share", 0.0),
    "log float": (
        "lora_alpha: {type: float, low: 0.0003, high: 0.0003, log: true}",
        "lora_alpha", 0.0003,
    ),
    "int": ("frozen_layers: {type: int, low: 2, high: 2}", "frozen_layers", 2),
    "log int": ("lora_rank: {type: int, low: 7, high: 7, log: true}", "lora_rank", 7),
    "one step": ("frozen_layers: {type: int, low: 1, high: 1, step: 3}", "frozen_layers", 1),
    "a guess": ("frozen_layers: {type: int, low: 2, high: 2, guess: 2}", "frozen_layers", 2),
    "a word": ("freeze_policy: {type: categorical, choices: [top]}", "freeze_policy", "top"),
    "a number": ("lora_rank: {type: categorical, choices: [8]}", "lora_rank", 8),
    "switched off": (
        f"method: {{type: categorical, choices: [full, lora]}}\n"
        f"lora_rank: {{type: int, low: 8, high: 8, when: {LORA}}}",
        "lora_rank", 8,
    ),
}  # fmt: skip
WIDE = """
parallel_size: {type: int, low: 100, high: 10000, log: true}
mono_ratio: {type: float, low: 0, high: 2}
learning_rate: {type: float, low: 0.0001778, high: 0.001, log: true}
"""


def contains(distribution, value):
    """As Optuna has it, without a tolerance."""
    return distribution._contains(distribution.to_internal_repr(value))


@pytest.fixture(scope="module")
def evidence():
    return make_run(8).evidence()


def loaded(folder, line, others=WIDE):
    path = folder / "space.yaml"
    path.write_text(f"{line}\n{others}")
    return load_space(path)


def suggested(space, sampler, count):
    """Points of a search, each observed before the next, all within their ranges."""
    where = SearchDomain(space.distributions(), space.guesses, None, space.switched_off)
    suggester = Suggester(where, ["max", "max"], sampler)
    for number in range(count):
        params, notes = suggester.suggest(number)
        assert all(contains(d, params[n]) for n, d in where.distributions.items())
        yield params
        values = params["parallel_size"] / 10_000, params["mono_ratio"]
        suggester.add(number, params, Observation(values, cost=1.0), notes)


@pytest.mark.parametrize(("line", "name", "value"), SINGLE.values(), ids=list(SINGLE))
def test_it_is_suggested(tmp_path, line, name, value):
    space = loaded(tmp_path, line)
    for params in suggested(space, SOBOL, 7):
        assert params[name] == value
        off = name in space.switched_off(params)
        expected = Recipe.model_fields[name].default if off else value
        assert getattr(space.recipe(params), name) == expected


@pytest.mark.parametrize("sampler", NAMES)
def test_every_sampler_suggests_many(tmp_path, sampler):
    kinds = ("float", "log float", "int", "a word", "switched off")
    space = loaded(tmp_path, "\n".join(SINGLE[kind][0] for kind in kinds))
    only = {SINGLE[kind][1]: SINGLE[kind][2] for kind in kinds}
    for params in suggested(space, sampler, 6):  # a model of 4 or more is fitted
        assert {name: params[name] for name in only} == only


@pytest.mark.parametrize(("line", "name", "value"), SINGLE.values(), ids=list(SINGLE))
def test_the_surface_has_no_coordinate_for_it(tmp_path, evidence, line, name, value):
    space = loaded(tmp_path, line)
    surface = modelled(evidence, space, list(OBJECTIVES))
    assert surface.coordinates.names == [n for n in space.parameters if n != name]
    units = spread_points(len(surface.coordinates.names), 8)
    for recipe in [*recipes_at(surface, units), *grid(space)]:
        off = name in space.switched_off(space.params(recipe))
        assert getattr(recipe, name) == (Recipe.model_fields[name].default if off else value)


def test_a_run_with_many_is_explained(tmp_path, capsys):
    kinds = ("float", "log float", "int", "log int", "a word")
    space = loaded(tmp_path, "\n".join(SINGLE[kind][0] for kind in kinds))
    folder = write_made_up(tmp_path / "run", make_run(8), space=space)
    for command in (["front", str(folder)], ["predict", str(folder)], ["explain", str(folder)]):
        assert main(command) == 0, command
    rows = list(csv.DictReader((folder / "explain.csv").open()))
    varied = {"parallel_size", "mono_ratio", "learning_rate"}
    assert {row["parameter"] for row in rows} == varied


def test_a_value_beside_the_only_one_is_another_input_of_the_surface(evidence):
    """The made-up run froze nothing: the surface must not take that for 2 frozen layers."""
    sizes = IntRange(type="int", low=100, high=10_000, log=True)
    two = IntRange(type="int", low=2, high=2)
    space = Space(parameters={"parallel_size": sizes, "frozen_layers": two})
    same = {"parallel_size": 500, "learning_rate": 1e-4}
    recipes = [Recipe(frozen_layers=layers, **same) for layers in (0, 2)]
    found = Coordinates(space, [r.recipe for r in evidence.records]).features(recipes)
    assert (found[0] != found[1]).any()


def test_a_space_of_nothing_but_single_values_searches_nothing(tmp_path, evidence):
    others = "parallel_size: 64\nlearning_rate: 0.001\n"
    with pytest.raises(
        ConfigError, match=r"every parameter is fixed or has one value; .*`parallel"
    ):
        loaded(tmp_path, SINGLE["int"][0], others)
    two, fixed = IntRange(type="int", low=2, high=2), {"parallel_size": 64}
    with pytest.raises(RunError, match="every parameter of the run has one value"):
        modelled(evidence, Space(parameters={"frozen_layers": two}, fixed=fixed), list(OBJECTIVES))


low, factor = st.floats(1e-9, 1e6), st.floats(1, 1e6)


@settings(max_examples=300, deadline=None)
@given(low, factor, st.booleans(), st.floats(0, 1, exclude_max=True) | st.sampled_from([0.0]))
def test_every_quantile_lies_within_the_range(low, factor, log, u):
    d = FloatDistribution(low, low * factor, log=log)
    assert contains(d, at_quantile(d, u))
    whole = IntDistribution(math.ceil(low), math.ceil(low * factor), log=log)
    assert contains(whole, at_quantile(whole, u))


ROUNDED = [
    (0.0001778, 0.001, 0.0001777999999999999, True),
    (0.0001778, 0.001, 0.0010000000000000002, True),
    (0.0001778, 0.001, 0.00017779, False),
    (0.0, 0.0, -1e-15, False),  # nothing is computed beyond 0
]


@pytest.mark.parametrize(("low", "high", "value", "held"), ROUNDED)
def test_rounding_is_not_outside(low, high, value, held):
    d = FloatDistribution(low, high)
    assert holds(d, value) == held
    assert low <= within(d, value) <= high


def test_earlier_runs_that_were_rounded_beyond_the_range_are_taken_over(tmp_path):
    """As earlier versions suggested the low end of a log scale."""
    run(tmp_path / "old", 8)
    record = next(r for r in read_records(tmp_path / "old").records if r.role == "search")
    end = 0.0001778
    beyond = math.nextafter(end, 0)
    recipe = record.recipe.model_copy(update={"learning_rate": beyond})
    write_record(tmp_path / "old", record.model_copy(update={"recipe": recipe}))
    space = narrow(learning_rate=FloatRange(type="float", low=end, high=1, log=True))
    taken = {t.record.number: t for t in searched(taken_from(tmp_path / "old", space))}
    assert taken[record.number].record.recipe.learning_rate == beyond
