"""Weights of sources as parameters: what they draw, how they are searched, and how they are read,
reported and taken over."""

import pickle
import re

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

from mtray.commands.data_tables import recipe_of
from mtray.data.mixing import plan, repeat_caps
from mtray.data.store import select
from mtray.data.tables import TokenTable
from mtray.errors import ConfigError
from mtray.report.effects import effects
from mtray.report.parameters import parameters, recipe_text
from mtray.report.prediction import recipe_near
from mtray.report.surface import modelled
from mtray.report.tables import varied_parameters
from mtray.schema import Budget, Recipe, Source
from mtray.search.strategy.baseline_recipes import baseline_recipes
from mtray.search.strategy.cost_aware import Observation, SearchDomain
from mtray.search.strategy.feasible_points import feasibility
from mtray.search.strategy.largest_recipes import largest_recipes, most_requested
from mtray.search.strategy.samplers import NAMES, space_filling
from mtray.search.strategy.suggester import Suggester
from mtray.search_space.extreme_recipes import extreme_recipes
from mtray.search_space.space import Space, load_space
from mtray.search_space.unit_cube import UnitCube


def source(name, kind="mono", weight=1.0, **keys):
    languages = {"parallel": ("en", "uk"), "mono": ("en",)}.get(kind, ())
    return Source(name=name, kind=kind, path="x.txt", languages=languages, weight=weight, **keys)


PAIRS = source("pairs", "parallel")
SOURCES = (PAIRS, source("web", weight=3), source("news"), source("books", weight=2))
NAMED = ("weight.web", "weight.news", "weight.books")
LINES = """
parallel_size: {type: int, low: 100, high: 1000, log: true}
mono_ratio: {type: float, low: 0.0, high: 2.0}
learning_rate: 0.001
"""
SHARES = "".join(f"{name}: {{type: share}}\n" for name in NAMED)


def space_of(folder, lines=SHARES, sources=SOURCES, defaults=None):
    (folder / "space.yaml").write_text(LINES + lines, encoding="utf-8")
    return load_space(folder / "space.yaml", defaults, sources)


@pytest.fixture
def space(tmp_path):
    return space_of(tmp_path)


def recipe(**weights):
    given = {f"weight.{name}": weight for name, weight in weights.items()}
    return Recipe.model_validate({"parallel_size": 60, "mono_ratio": 1.0, **given})


def counts(found, sources=SOURCES):
    return {part.source: part.count for part in plan(found, sources)}


# what is drawn

BY_HAND = [
    (recipe(), (30, 10, 20)),  # the study's 3, 1 and 2
    (recipe(web=3, news=1, books=2), (30, 10, 20)),
    (recipe(web=0.5, news=1 / 6, books=1 / 3), (30, 10, 20)),
    (recipe(web=0, news=1, books=1), (0, 30, 30)),
    (recipe(web=0), (0, 20, 40)),  # the others keep the study's
    (recipe(web=1, news=0, books=0), (60, 0, 0)),
    (recipe(news=4).with_values({"source_weights": "equal"}), (10, 40, 10)),
]


@pytest.mark.parametrize("found, mono", BY_HAND)
def test_counts_by_hand(found, mono):
    assert counts(found) == dict(zip(("pairs", "web", "news", "books"), (60, *mono), strict=True))


weights_of_three = st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda w: sum(w) > 0.1)


@settings(deadline=None)
@given(weights_of_three, st.integers(1, 500), st.floats(0, 2))
def test_counts_sum_to_what_is_asked(weights, size, ratio):
    given_ = dict(zip(NAMED, weights, strict=True))
    found = Recipe(parallel_size=size, mono_ratio=ratio).with_values(given_)
    parts = plan(found, SOURCES)
    assert sum(p.count for p in parts) == round(size + ratio * size)
    mono = [p for p in parts if p.kind == "mono"]
    for part, weight in zip(mono, weights, strict=True):
        assert part.requested == pytest.approx(ratio * size * weight / sum(weights))
        assert weight > 0 or part.count == 0


def table(count, start):
    ids = np.arange(start, start + 2 * count, dtype=np.int32)
    return TokenTable(ids, np.arange(2, 2 * count + 2, 2), np.ones(count, np.int32), 0, count)


STORED = {s.name: table(100, 1000 * place) for place, s in enumerate(SOURCES)}


def test_a_weight_of_0_is_a_study_without_the_source():
    """The same examples, share by share; its own share is there with none."""
    without = tuple(s for s in SOURCES if s.name != "web")
    examples, mix = select(STORED, plan(recipe(web=0), SOURCES), False)
    other, smaller = select(STORED, plan(recipe(), without), False)
    assert [ids.tolist() for ids, _ in examples] == [ids.tolist() for ids, _ in other]
    assert [s for s in mix.shares if s.source != "web"] == list(smaller.shares)
    (left_out,) = (s for s in mix.shares if s.source == "web")
    assert (left_out.realised, left_out.requested, left_out.tokens) == (0, 0, 0)


def test_the_studys_own_weights_give_its_own_mix():
    own = recipe(**{s.name: s.weight for s in SOURCES})
    assert (
        select(STORED, plan(own, SOURCES), False)[1]
        == select(STORED, plan(recipe(), SOURCES), False)[1]
    )


def test_the_order_of_the_weights_does_not_matter():
    one, other = recipe(web=0.2, news=0.8), recipe(news=0.8, web=0.2)
    assert one == other and hash(one) == hash(other)
    assert one.model_dump_json() == other.model_dump_json()
    assert Recipe.model_validate_json(one.model_dump_json()) == one
    early = pickle.loads(pickle.dumps(one)).model_copy(update={"stop_after": 0.5})
    assert early.weights == one.weights == {"news": 0.8, "web": 0.2} and early != one
    # of the sources neither, as far as nothing is rounded
    assert counts(recipe(web=0.5, news=0.25, books=0.25), SOURCES[::-1]) == {
        "pairs": 60, "web": 30, "news": 15, "books": 15,
    }  # fmt: skip


def test_a_kind_without_any_weight_is_an_error():
    with pytest.raises(ConfigError, match="every source of kind 'mono' has weight 0: "):
        plan(recipe(web=0, news=0, books=0), SOURCES)
    assert counts(recipe(web=0, news=0, books=0).with_values({"mono_ratio": 0.0}))["web"] == 0


@pytest.mark.parametrize("key, value", [("weight.a", -1), ("weight.a", "much"), ("wieght.a", 1),
                                        ("weight.", 1), ("weight.a", float("inf"))])  # fmt: skip
def test_what_no_recipe_may_have(key, value):
    with pytest.raises(ValueError, match=re.escape(key)):
        Recipe.model_validate({"parallel_size": 1, key: value})


def test_recipes_of_earlier_versions_are_as_they_were():
    assert recipe().weights == {} and "weight" not in recipe().model_dump_json().replace(
        "source_weights", ""
    ).replace("weight_decay", "")
    assert recipe().value("weight.web") is None and recipe(web=0.5).value("weight.web") == 0.5
    assert recipe().hashed_fields() == recipe(web=0.5).hashed_fields()


# the space

WRONG = [
    (
        "weight.wbe: {type: share}",
        r"weight.wbe: the study has no such source; allowed: weight.pairs",
    ),
    ("weight.web: {type: share}", "weight.web is searched, and weight.news, of the same kind"),
    (
        "weight.web: {type: share}\nweight.news: 0.5\nweight.books: 0.1",
        "weight.web is the only weight of kind mono that is searched, so it can only be 0.4",
    ),
    (
        "weight.web: {type: share}\nweight.news: 1\nweight.books: {type: share}",
        "weight.news 1 leave nothing for weight.web, weight.books",
    ),
    ("weight.web: {type: float, low: 0, high: 1}", "weight.web.type: float is not possible"),
    ("few_shot_share: {type: share}", "few_shot_share.type: share is not possible"),
    ("weight.web: {type: share, low: 0.1}", "weight.web: a share has no key low; allowed: type"),
    (
        SHARES.replace("share}", "share, guess: 1.5}", 1),
        "weight.web: guess 1.5 is not within 0.0 to 1.0",
    ),
    ("weight.web: -1", "weight.web: Input should be greater than or equal to 0"),
    (
        SHARES + "frozen_layers: {type: int, low: 0, high: 2, when: {weight.web: {above: 0.5}}}",
        "frozen_layers.when.weight.web: not another parameter",
    ),
]


@pytest.mark.parametrize("lines, message", WRONG)
def test_mistakes_name_file_and_key(tmp_path, lines, message):
    with pytest.raises(ConfigError, match=message):
        space_of(tmp_path, lines)


def test_a_fixed_weight_keeps_its_share(tmp_path):
    space = space_of(tmp_path, SHARES.replace("{type: share}", "0.25", 1))
    assert space.parameters["weight.news"].text() == "0 to 0.75, a share of the mono sources"
    sizes = {"parallel_size": 60, "mono_ratio": 1.0}
    found = space.recipe({**sizes, "weight.news": 0.6, "weight.books": 0.15})
    assert found.weights == {"web": 0.25, "news": 0.6, "books": 0.15}
    # amounts that sum to something else are divided in proportion
    found = space.recipe({**sizes, "weight.news": 0.2, "weight.books": 0.1})
    assert found.weights == pytest.approx({"web": 0.25, "news": 0.5, "books": 0.25})


def test_fixed_weights_alone_replace_the_studys(tmp_path):
    space = space_of(tmp_path, "weight.web: 0\n", defaults={"weight.news": 4})
    found = space.recipe({"parallel_size": 60, "mono_ratio": 1.0})
    assert found.weights == {"web": 0, "news": 4}
    assert counts(found) == {"pairs": 60, "web": 0, "news": 40, "books": 20}


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
    assert features[2:] == pytest.approx([params[name] for name in NAMED])
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
    allowed = feasibility(study, space, dict.fromkeys(STORED, 100), lambda recipe: None)
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


def test_the_data_command_mixes_at_given_weights():
    study = make_study(sources=SOURCES, defaults={"weight.news": 0.25})
    found = recipe_of(["mono_ratio=1", "weight.web=0.75", "epochs=1.5"], study)
    assert found.weights == {"news": 0.25, "web": 0.75} and found.epochs == 1.5
    for pair, message in (
        (
            "weight.wbe=1",
            "--recipe: weight.wbe: the study has no such source; allowed: weight.pairs",
        ),
        ("wieght.web=1", r"expected KEY=VALUE with a key of .*, weight.SOURCE; found wieght.web=1"),
        ("weight.web=-1", r"--recipe weight.web=-1: `weight.web`;   Input should be greater"),
    ):
        with pytest.raises(ConfigError, match=message):
            recipe_of([pair], study)
