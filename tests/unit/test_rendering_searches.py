"""Renderings in a search: baselines, trials of earlier runs, tables."""

import pytest
from records_factory import make_study

from mtray.report.parameters import parameters
from mtray.schema import Mixing, Recipe, Source
from mtray.search.ledger.earlier_recipes import mix_difference, recipe_here
from mtray.search.strategy.baseline_recipes import baseline_recipes
from mtray.search.strategy.largest_recipes import largest_recipes
from mtray.search_space.space import load_space

LINES = "parallel_size: {type: int, low: 10, high: 100}\nlearning_rate: 0.001\n"
TARGET = {"side": "target", "level": "word", "rate": 0.25, "path": "d.tsv"}
SOURCE = TARGET | {"side": "source", "rate": 0.0}
SHARES = "direction.en-uk: {type: share}\ndirection.uk-en: {type: share}\n"
RATE = "noise_rate: {type: float, low: 0.0, high: 0.5}\n"
SIDES = "noise_side: {type: categorical, choices: [source, target]}\n"


def study_of(**keys):
    pairs = Source(name="pairs", kind="parallel", path="p.tsv", languages=("en", "uk"), **keys)
    return make_study(sources=(pairs,))


def space_of(folder, lines, study):
    (folder / "space.yaml").write_text(LINES + lines)
    return load_space(folder / "space.yaml", study.defaults, study.sources)


BASELINES = {
    "one direction": ({}, SHARES, {"direction.en-uk": 1.0, "direction.uk-en": 0.0}),
    "two directions": (
        {"directions": {"en-uk": 1, "uk-en": 3}}, SHARES,
        {"direction.en-uk": 0.25, "direction.uk-en": 0.75},
    ),
    "its noise": ({"noise": TARGET}, RATE + SIDES, {"noise_rate": 0.25, "noise_side": "target"}),
    "no noise": ({"noise": [SOURCE]}, RATE, {"noise_rate": 0.0}),
    "template": (
        {}, "template: {type: categorical, choices: [pool, labels]}\n"
        "instructions: {type: int, low: 1, high: 36}\n",
        {"template": "labels", "instructions": 36},
    ),
    "shots": ({"shots": (2, 2)}, "shots: {type: int, low: 1, high: 5}\n", {"shots": 2}),
}  # fmt: skip


@pytest.mark.parametrize("keys, lines, expected", BASELINES.values(), ids=BASELINES)
def test_baselines_have_the_renderings_of_the_study(tmp_path, keys, lines, expected):
    study = study_of(**keys)
    space = space_of(tmp_path, lines, study)
    found = space.recipe(baseline_recipes(space, study)["parallel_only"])
    assert {name: found.value(name) for name in expected} == expected


ONE = Recipe(parallel_size=60, learning_rate=0.001)
TURNED = Recipe.model_validate(
    {"parallel_size": 60, "learning_rate": 0.001, "direction.en-uk": 1, "direction.uk-en": 3}
)
EARLIER = {
    "directions": (ONE, {}, {}, SHARES, {"direction.en-uk": 1.0, "direction.uk-en": 0.0}),
    "of its own": (TURNED, {}, {}, SHARES, {"direction.en-uk": 0.25, "direction.uk-en": 0.75}),
    "noise declared since": (ONE, {}, {"noise": [SOURCE]}, RATE, {"noise_rate": 0.0}),
    "no noise": (
        ONE, {}, {"noise": [SOURCE]}, RATE + SIDES, {"noise_rate": 0.0, "noise_side": "source"},
    ),
    "its noise": (
        ONE, {"noise": TARGET}, {"noise": [SOURCE, TARGET]}, RATE + SIDES,
        {"noise_rate": 0.25, "noise_side": "target"},
    ),
    "template": (
        ONE, {}, {}, "template: {type: categorical, choices: [labels, alma]}\n",
        {"template": "labels"},
    ),
    "no line": (ONE, {}, {}, "", {"template": None, "noise_rate": None, "shots": None}),
}  # fmt: skip


@pytest.mark.parametrize("recipe, before, now, lines, expected", EARLIER.values(), ids=EARLIER)
def test_an_earlier_trial_has_the_values_of_its_study(
    tmp_path, recipe, before, now, lines, expected
):
    there, here = study_of(**before), study_of(**now)
    space = space_of(tmp_path, lines, here)
    found = recipe_here(recipe, there, here, space)
    assert {name: found.value(name) for name in expected} == expected
    assert mix_difference(recipe, there, here, space) is None
    assert space.recipe(space.params(found)) == found


OTHERS = {
    "another rate": (ONE, {"noise": TARGET}, {}, "", "has other directions or noise here"),
    "turned": (TURNED, {}, {}, "", "has other directions or noise here"),
    "directions fixed": (ONE, {}, {}, "direction.uk-en: 1\n", "has other directions or noise"),
}


@pytest.mark.parametrize("recipe, before, now, lines, message", OTHERS.values(), ids=OTHERS)
def test_other_rows_are_named(tmp_path, recipe, before, now, lines, message):
    there, here = study_of(**before), study_of(**now)
    assert message in str(mix_difference(recipe, there, here, space_of(tmp_path, lines, here)))


def test_parameters_without_effect_are_empty():
    told = parameters(Recipe(parallel_size=9, noise_rate=0.0, noise_side="target", shots=2))
    assert (told["noise_side"], told["shots"], told["noise_rate"]) == (None, None, 0.0)
    told = parameters(Recipe(parallel_size=9, noise_rate=0.1, noise_side="target",
                             few_shot_share=0.5, shots=2))  # fmt: skip
    assert (told["noise_side"], told["shots"]) == ("target", 2)


def test_where_tokens_count_every_rendering_may_be_the_largest(tmp_path):
    study = study_of(noise=[SOURCE])
    space = space_of(tmp_path, RATE + SHARES, study)
    assert {tuple(r.directions.values()) for r in largest_recipes(space)} == {(0, 1), (1, 0)}
    assert len(largest_recipes(space)) == 2
    by_tokens = study.model_copy(update={"mixing": Mixing(count="tokens")})
    assert by_tokens.mixing.count == "tokens" and len(largest_recipes(space, tokens=True)) == 4
