"""Weights of sources are searched on a simplex, and read, reported and taken over."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_factory import SOURCES as LEDGER_SOURCES
from ledger_factory import SPACE, ledger_in, trials_in
from optuna.distributions import FloatDistribution, distribution_to_json
from records_factory import make_record, make_study
from surface_factory import OBJECTIVES, MadeUp
from warmstart_factory import STORE, Held, run, searched, taken_from
from weights_factory import NAMED, SOURCES, counts, recipe, source, space_of

from mtray.data.mixing import repeat_caps
from mtray.errors import ConfigError
from mtray.report.effects import effects
from mtray.report.parameters import parameters, recipe_text
from mtray.report.prediction import recipe_near
from mtray.report.surface import modelled
from mtray.report.tables import varied_parameters
from mtray.schema import Budget, Recipe
from mtray.search.strategy.baseline_recipes import baseline_recipes
from mtray.search.strategy.cost_aware import Observation, SearchDomain
from mtray.search.strategy.feasible_points import feasibility
from mtray.search.strategy.largest_recipes import largest_recipes, most_requested
from mtray.search.strategy.samplers import NAMES, space_filling
from mtray.search.strategy.suggester import Suggester
from mtray.search_space.extreme_recipes import extreme_recipes
from mtray.search_space.space import Space
from mtray.search_space.unit_cube import UnitCube


@pytest.fixture
def space(tmp_path):
    return space_of(tmp_path)


# sampling


def of_three(points):
    return np.array([[params[name] for name in NAMED] for params in points])


def is_uniform(found):
    """As of Dirichlet(1, 1, 1): mean 1/3, variance 1/18, and above a half with probability
    (1 - 1/2)^2."""
    slack = 3 / len(found) ** 0.5
    assert found.sum(axis=1) == pytest.approx(1)
    assert found.mean(axis=0) == pytest.approx(1 / 3, abs=0.24 * slack)
    assert found.var(axis=0) == pytest.approx(1 / 18, abs=0.06 * slack)
    assert (found > 0.5).mean(axis=0) == pytest.approx(0.25, abs=0.43 * slack)
    assert np.corrcoef(found.T)[0, 1] == pytest.approx(-0.5, abs=slack)


def test_sobol_points_are_uniform_on_the_simplex(space):
    is_uniform(of_three(space_filling(space.distributions(), 512, 3)))


def test_random_points_are_uniform_on_the_simplex(space):
    found = Suggester(SearchDomain(space.distributions()), ["max"], "random", seed=2)
    is_uniform(of_three(found.suggest(number)[0] for number in range(400)))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 999), min_size=5, max_size=5).filter(lambda u: sum(u[2:])))
def test_coordinates_of_shares_by_law(units):
    space = Space(parameters=dict(_parameters()), fixed={"learning_rate": 1e-3})
    cube, units = UnitCube(space.distributions()), np.array(units) / 1000
    params = cube.params(units)
    assert sum(params[name] for name in NAMED) == pytest.approx(1)
    again = cube.units(params)
    assert cube.stored(units[None])[0][2:] == pytest.approx(again[2:])
    assert cube.stored(again[None])[0][2:] == pytest.approx(again[2:])
    assert [cube.params(again)[n] for n in NAMED] == pytest.approx([params[n] for n in NAMED])
    features = cube.features(units[None])[0]
    assert features[2:] ** 2 == pytest.approx([params[name] for name in NAMED])
    assert (again < 1).all()
    # a common factor of the amounts changes nothing
    half = units.copy()
    half[2:] = 1 - np.sqrt(1 - units[2:])
    assert cube.features(half[None])[0] == pytest.approx(features)
    assert space.recipe(space.params(space.recipe(params))) == space.recipe(params)


def _parameters():
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        return space_of(Path(folder)).parameters


def test_moving_one_share_keeps_the_proportions_of_the_others(space):
    cube = UnitCube(space.distributions())
    start = {"parallel_size": 100, "mono_ratio": 1.0,
             "weight.web": 0.5, "weight.news": 0.3, "weight.books": 0.2}  # fmt: skip
    units = cube.moved(cube.units(start)[None], "weight.web", 0.75)
    found = cube.params(units[0])
    assert [found[n] for n in NAMED] == pytest.approx([0.75, 0.15, 0.1])
    assert found["mono_ratio"] == pytest.approx(1.0)
    assert cube.moved(units, "mono_ratio", 0.25)[0, 1] == 0.25


@pytest.mark.parametrize("sampler", NAMES)
def test_every_sampler_stays_on_the_simplex(space, sampler):
    found = Suggester(SearchDomain(space.distributions()), ["max", "max"], sampler, startup=3)
    for number in range(5):
        params, notes = found.suggest(number)
        weights = [params[name] for name in NAMED]
        assert sum(weights) == pytest.approx(1) and min(weights) >= 0
        assert params["parallel_size"] == space.recipe(params).parallel_size
        assert found.suggest(number) == (params, notes)
        found.add(number, params, Observation([weights[0], 1 - weights[1]]), notes)


def test_the_search_finds_the_source_that_helps(space):
    """Quality rises with the share of web and falls with that of news."""
    found = Suggester(SearchDomain(space.distributions()), ["max", "max"], "ehvi", seed=1)
    for number in range(14):
        params, notes = found.suggest(number)
        web, news, _ = (params[name] for name in NAMED)
        found.add(number, params, Observation([web - news, web]), notes)
    assert params["weight.web"] > 0.9 and params["weight.news"] < 0.05


def test_the_journal_holds_the_shares(tmp_path, space):
    spaces = {"space": space, "sources": SOURCES}
    jobs = []
    for _ in range(2):  # continued by a second process
        ledger = ledger_in(tmp_path, "tpe", **spaces)
        jobs += [ledger.next(8) for _ in range(3)]
    for job in jobs:
        trial = trials_in(tmp_path)[job.number]
        assert sum(trial.params[name] for name in NAMED) == pytest.approx(1)
        if job.role == "parallel_only":
            assert job.recipe.weights == {}
            continue
        assert job.recipe.weights == {n[7:]: trial.params[n] for n in NAMED}
        stored = trial.distributions["weight.web"]
        assert type(stored) is FloatDistribution and "Share" not in distribution_to_json(stored)


def test_weights_of_what_is_not_in_the_mix_are_off(tmp_path, space):
    params = {"parallel_size": 100, "mono_ratio": 0.0,
              "weight.web": 0.5, "weight.news": 0.3, "weight.books": 0.2}  # fmt: skip
    assert space.switched_off(params) == {*NAMED}
    assert space.recipe(params).weights == {}
    assert space.has_conditions and space.switched_by("weight.web") == ["mono_ratio"]
    assert [space.params(space.recipe(params))[n] for n in NAMED] == pytest.approx([1 / 3] * 3)
    assert space.switched_off(params | {"mono_ratio": 0.1}) == set()
    with pytest.raises(ConfigError, match=r"weight.web=0.5: it is switched off by mono_ratio"):
        recipe_near(["weight.web=0.5"], space.recipe(params), space)


# what a space with weights draws at most, its baselines, and caps


def test_each_source_has_all_of_its_kind_in_one_of_the_largest_recipes(space):
    study = make_study(sources=SOURCES)
    largest = largest_recipes(space)
    assert [r.weights for r in largest] == [
        {"web": 1, "news": 0, "books": 0},
        {"web": 0, "news": 1, "books": 0},
        {"web": 0, "news": 0, "books": 1},
    ]
    most = most_requested(largest, study)
    assert most == {"pairs": 1000, "web": 2000, "news": 2000, "books": 2000}
    for params in space_filling(space.distributions(), 64, 1):
        assert all(n <= most[name] for name, n in counts(space.recipe(params)).items())
    alike = extreme_recipes(space, "mono_ratio")[-1]
    assert alike.weights == pytest.approx({"web": 1 / 3, "news": 1 / 3, "books": 1 / 3})


def test_baselines_have_the_studys_weights_and_the_uniform_one_equal_ones(space):
    found = baseline_recipes(space, make_study(sources=SOURCES))
    weights = {role: [params[name] for name in NAMED] for role, params in found.items()}
    assert weights["mono_one_to_one"] == pytest.approx([1 / 2, 1 / 6, 1 / 3])
    assert weights["uniform"] == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    uniform = space.recipe(found["uniform"])
    assert uniform.source_weights == "study" and set(counts(uniform).values()) == {250}
    given = make_study(sources=SOURCES, defaults={"weight.web": 0})
    params = baseline_recipes(space, given)["mono_one_to_one"]
    assert [params[name] for name in NAMED] == pytest.approx([0, 1 / 3, 2 / 3])


def test_a_source_that_the_space_leaves_out_is_in_no_baseline(tmp_path):
    space = space_of(tmp_path, "weight.web: 0\n")
    uniform = space.recipe(baseline_recipes(space, make_study(sources=SOURCES))["uniform"])
    assert uniform.source_weights == "equal"
    assert counts(uniform) == {"pairs": 333, "web": 0, "news": 333, "books": 333}


def test_caps_on_repeats_hold(space):
    capped = tuple(s.model_copy(update={"max_repeats": 2.0}) for s in SOURCES)
    study = make_study(sources=capped)
    allowed = feasibility(study, space, {s.name: 100 for s in SOURCES}, lambda recipe: None)
    at = {"parallel_size": 100, "mono_ratio": 2.0, "weight.books": 0.0}
    assert repeat_caps(capped, {"web": 100}) == {"web": 200}
    assert allowed(at | {"weight.web": 0.5, "weight.news": 0.5})
    at["parallel_size"] = 180  # 360 in all, 200 of one at most
    assert allowed(at | {"weight.web": 0.5, "weight.news": 0.5})
    assert not allowed(at | {"weight.web": 0.6, "weight.news": 0.4})


# reports


def test_a_column_where_some_recipe_has_it():
    recipes = [
        parameters(recipe()),
        parameters(recipe(web=0.25, news=0)),
        parameters(Recipe(parallel_size=0)),
    ]
    assert varied_parameters(recipes)[-2:] == ["weight.news", "weight.web"]
    assert varied_parameters(recipes[:1])[-1] == "learning_rate"
    assert recipe_text(recipes[1]).endswith("weight.news 0, weight.web 0.25")


def test_a_prediction_at_other_shares(space):
    start = space.recipe({"parallel_size": 100, "mono_ratio": 1.0,
                          "weight.web": 0.5, "weight.news": 0.3, "weight.books": 0.2})  # fmt: skip
    one = recipe_near(["weight.web=0.75"], start, space).weights
    assert one == pytest.approx({"web": 0.75, "news": 0.15, "books": 0.1})
    two = recipe_near(["weight.web=0.75", "weight.news=0.25"], start, space).weights
    assert two == pytest.approx({"web": 0.75, "news": 0.25, "books": 0})
    with pytest.raises(ConfigError, match=r"weight.web=0.75, weight.news=0.5: the shares of"):
        recipe_near(["weight.web=0.75", "weight.news=0.5"], start, space)
    with pytest.raises(ConfigError, match=r"weight.web=2: this run's space has weight.web 0 to 1"):
        recipe_near(["weight.web=2"], start, space)


# trials of earlier runs


def test_an_old_trial_is_one_with_weight_0(tmp_path):
    """A study gets a second source, whose weight is searched: trials without it fit."""
    known = (*LEDGER_SOURCES, source("replay", "replay"))
    run(tmp_path / "old", 8, sources=known, budget=Budget(replicate_share=0, confirm=0))
    sources = (*known, source("web"))
    lines = "weight.mono: {type: share}\nweight.web: {type: share}\n"
    shares = space_of(tmp_path, lines, sources).parameters
    names = ("weight.mono", "weight.web")
    wider = SPACE.model_copy(
        update={"parameters": {**SPACE.parameters, **{n: shares[n] for n in names}}}
    )
    store = {**STORE, "web": Held(), "replay": Held()}
    found = taken_from(tmp_path / "old", wider, store, sources=sources)
    assert len(searched(found)) == 4
    for taken in searched(found):
        assert taken.record.recipe.weights == {"mono": 1.0, "web": 0.0}
        assert {n: taken.params[n] for n in names} == {"weight.mono": 1.0, "weight.web": 0.0}
    # text of pairs only is the same baseline here; with mono, the study's weights divide it
    (only_pairs,) = (t for t in found.taken if t.record.role == "parallel_only")
    assert only_pairs.record.recipe.weights == {}
    assert any(
        "the baseline mono_one_to_one has weight.mono 1 there and 0.5 here" in reason
        for reason in found.left_out
    )


# the response surface


def made_up(space, count=24):
    """Quality rises by .3 with the share of web; retention falls by .2 with that of news."""
    rng, records, kept = np.random.default_rng(0), [make_record(-1, 0.5, 1.0, "base")], {}
    for number, params in enumerate(space_filling(space.distributions(), count, 5)):
        web, news = params["weight.web"], params["weight.news"]
        found = 0.5 + 0.3 * web, 1 - 0.2 * news
        records.append(make_record(number, *found, recipe=space.recipe(params), half=0.005))
    for record in records:
        values = [record.objectives[name].value for name in OBJECTIVES]
        drawn = np.array(values) + rng.normal(0, 0.003, (200, 2))
        kept[record.number] = dict(zip(OBJECTIVES, drawn.T, strict=True))
    return MadeUp(
        records, lambda number, names: {n: d for n, d in kept[number].items() if n in names}
    )


def test_importance_and_curve_of_a_weight(space):
    surface = modelled(made_up(space).evidence(), space, tuple(OBJECTIVES))
    quality, retention = effects(surface, space)
    assert quality.effects[0].parameter == "weight.web" and quality.effects[0].share > 0.4
    assert retention.effects[0].parameter == "weight.news"
    curve = next(e for e in quality.effects if e.parameter == "weight.web").curve
    assert [curve[0].value, curve[-1].value] == pytest.approx([0, 1])
    assert curve[-1].mean - curve[0].mean == pytest.approx(0.3, abs=0.05)
    # .3 per unit of the share, whatever the others are
    found = surface.predict([space.recipe(at(web, 1 - web)) for web in (0.2, 0.7)])[0][:, 0]
    assert found[1] - found[0] == pytest.approx(0.15, abs=0.03)


def at(web, news):
    return {"parallel_size": 300, "mono_ratio": 1.0, "weight.web": web, "weight.news": news,
            "weight.books": 0.0}  # fmt: skip
