"""Laws of a run's evidence, in an object and in words."""

import json

import numpy as np
import pytest
from records_factory import make_record, make_study

from mtray.report.evidence import Evidence
from mtray.report.law_text import (
    Interval,
    LawParameter,
    Laws,
    critical_sentence,
    error_sentence,
    form_text,
    loss_sentences,
    verdict_of,
)
from mtray.report.laws import LawSettings, grid, law_lines, laws, points_of
from mtray.report.leave_one_out import LeftOutError
from mtray.schema import Recipe
from mtray.search_space.space import Space

SPACE = Space.model_validate(
    {
        "parameters": {
            "parallel_size": {"type": "int", "low": 128, "high": 4096, "log": True},
            "replay_fraction": {"type": "float", "low": 0.0, "high": 0.3},
            "learning_rate": {
                "type": "float", "low": 1e-4, "high": 2e-3, "log": True, "guess": 5e-4,
            },
            "lora_rank": {"type": "int", "low": 4, "high": 64, "guess": 8},
        },
        "fixed": {"mono_ratio": 0.5},
    }
)  # fmt: skip
NAMES = ("quality", "retention", "cost.seconds")


def made_evidence(n=20, error=1e-4):
    """Loss .04 (n / 700)^.5 / (1 + 10 p); quality .02 - .01 (n r)^-.5, in units of
    700 and 4.5e-4."""
    rng = np.random.default_rng(0)
    size = np.round(128 * 32 ** rng.random(n)).astype(int)
    replay, rate = 0.3 * rng.random(n), 1e-4 * 20 ** rng.random(n)
    loss = 0.04 * (size / 700) ** 0.5 / (1 + 10 * replay)
    seen = (size / 700) * (rate / 4.5e-4)
    gaps = np.stack([0.02 - 0.01 * seen**-0.5, -loss, size.astype(float)], axis=1)
    records = [
        make_record(i, recipe=Recipe(parallel_size=s, replay_fraction=p, learning_rate=r))
        for i, (s, p, r) in enumerate(zip(size.tolist(), replay, rate, strict=True))
    ]
    errors = rng.normal(0, error, (300, n, 3))
    return Evidence(tuple(records), (1,) * n, NAMES, np.zeros(3), gaps, errors, np.zeros(3))


@pytest.fixture(scope="module")
def found() -> Laws:
    return laws(made_evidence(), make_study(), SPACE)


def test_a_law_for_every_measure_but_costs(found):
    assert [(m.name, m.kind) for m in found.measures] == [
        ("quality", "quality"),
        ("retention", "loss"),
    ]
    assert found.skipped == {"cost.seconds": "it is a cost"}
    assert found.notes == ("the laws ignore lora_rank: recipes are fitted together",)
    assert found.recipes == 20


def test_parameters_and_errors(found):
    retention = found.measures[1]
    assert retention.form == "loss = K n^a r^c / (1 + B p)"
    parameters = {p.name: p for p in retention.parameters}
    assert parameters["a"].value == pytest.approx(0.5, abs=0.02)
    assert parameters["c"].value == pytest.approx(0.0, abs=0.02)
    assert parameters["B"].low < 10 < parameters["B"].high
    assert retention.verdict == "better"
    law, linear, constant = retention.errors
    assert (law.model, linear.model, constant.model) == ("law", "linear", "constant")
    assert law.error < linear.error < constant.error


def test_the_critical_replay_fraction_by_hand(found):
    """At 4096 the loss is .04 (4096 / 700)^.5 = .0968 without replay; .05 where 10 p = .935."""
    (critical,) = found.measures[1].critical
    assert critical.parameter == "replay_fraction"
    assert critical.value == pytest.approx(0.0935, abs=0.002)
    assert critical.recipe == Recipe(parallel_size=4096, mono_ratio=0.5, learning_rate=5e-4)
    assert critical.text.startswith(
        "least replay fraction that keeps the loss at 0.05 or below, with parallel size 4,096 and "
    )


def test_none_in_range_and_not_needed():
    made = made_evidence(12)
    for limit, value, words in ((0.01, None, "no value up to 0.3"), (0.2, 0.0, "0 (not needed)")):
        asked = LawSettings(measures=["retention"], limit=limit)
        (critical,) = laws(made, make_study(), SPACE, asked).measures[0].critical
        assert critical.value == value
        assert words in critical_sentence(critical)


def test_the_optimum_is_of_the_space_and_of_any_utility(found):
    """Quality and retention pull the size apart; replay only helps; quality alone wants the most
    data and the highest rate."""
    assert found.optimum is not None
    recipe = found.optimum.recipe
    assert recipe.replay_fraction == pytest.approx(0.3)
    assert (recipe.mono_ratio, recipe.lora_rank) == (0.5, 8)
    asked = LawSettings(utility=lambda gains: gains[..., 0])
    alone = laws(made_evidence(), make_study(), SPACE, asked).optimum
    assert alone is not None
    assert (alone.recipe.parallel_size, alone.recipe.learning_rate) == (4096, pytest.approx(2e-3))
    expected = 0.02 - 0.01 * (4096 / 700 * 2e-3 / 4.5e-4) ** -0.5
    assert alone.gains["quality"].value == pytest.approx(expected, rel=0.1)


def test_an_objective_to_be_minimised_is_turned():
    made, study = made_evidence(), make_study(objectives={"quality": "min", "retention": "max"})
    turned = laws(made, study, SPACE, LawSettings(measures=["quality"])).measures[0]
    straight = laws(made, make_study(), SPACE, LawSettings(measures=["quality"])).measures[0]
    first = [m.parameters[0].value for m in (turned, straight)]
    assert first[0] < 0 < first[1]


def test_few_recipes_have_no_law():
    few = laws(made_evidence(7), make_study(), SPACE)
    assert few.measures == ()
    assert few.skipped["retention"] == "7 recipes; it needs 8"
    assert "retention: no law (7 recipes; it needs 8)" in law_lines(few)


def test_weights_part_of_the_way_count_by_their_rate():
    recipes = [
        Recipe(parallel_size=100, learning_rate=1e-3, reversion_alpha=0.5, frozen_layers=2),
        Recipe(parallel_size=0),
        Recipe(parallel_size=100, learning_rate=1e-3, reversion_alpha=0.0),
    ]
    rows, points = points_of(recipes)
    assert rows == [0]
    assert points == pytest.approx(np.array([[100, 5e-4, 0, 0, 2]]))


def test_the_grid_holds_the_corners():
    recipes = grid(SPACE)
    sizes = {r.parallel_size for r in recipes}
    assert {min(sizes), max(sizes)} == {128, 4096}
    assert {r.lora_rank for r in recipes} == {8}
    assert {r.replay_fraction for r in recipes} == {0.0, 0.15, 0.3}


def test_lines_and_json(found):
    lines = law_lines(found)
    assert lines[0].startswith(
        "Laws fitted to the differences of 20 recipes from the base model [95 %"
    )
    assert any(line.startswith("retention: loss = K n^a") for line in lines)
    assert any(line.startswith("best recipe by the laws: parallel_size") for line in lines)
    assert Laws.model_validate(json.loads(json.dumps(found.model_dump()))) == found


@pytest.mark.parametrize(
    "kind, names, text",
    [
        ("loss", "K a c B C f", "loss = K n^a r^c exp(-f F) / ((1 + B p) (1 + C m))"),
        ("loss", "K", "loss = K"),
        ("quality", "E A b D h f", "gain = E - A (n r)^-b - D r^h exp(-f F)"),
        ("quality", "E A b", "gain = E - A n^-b"),
        ("quality", "E", "gain = E"),
    ],
)
def test_formulas(kind, names, text):
    assert form_text(kind, names.split()) == text


@pytest.mark.parametrize(
    "name, ends, text",
    [
        ("a", (1, 0, 2), "doubling the data multiplies the loss by 2 [1, 4]"),
        ("B", (10, 0, 90), "10 % replay multiplies the loss by 0.5 [0.1, 1]"),
        ("B", (-10, -20, 0), "10 % replay multiplies the loss by 2 [1, 3]"),
        ("C", (1, 0, 3), "a mono ratio of 1 multiplies the loss by 0.5 [0.25, 1]"),
        ("f", (0, 0, 0), "each frozen layer multiplies the loss by 1 [1, 1]"),
    ],
)
def test_sentences_of_parameters(name, ends, text):
    value, low, high = ends
    made = LawParameter(name=name, meaning="", value=value, low=low, high=high)
    assert loss_sentences([made]) == [text]


@pytest.mark.parametrize(
    "margin, error, verdict, words",
    [
        (0.3, 0.1, "better", "predicts retention of left-out recipes better than"),
        (0.1, 0.1, "not shown to be better", "is not shown to predict retention of left-out"),
        (0.0, 0.1, "no better", "predicts retention of left-out recipes no better than"),
    ],
)
def test_verdicts(margin, error, verdict, words):
    assert verdict_of(margin, error) == verdict
    errors = [
        LeftOutError(model=m, error=0.01, coverage=0.95, log_density=1.0)
        for m in ("law", "linear", "constant")
    ]
    assert words in error_sentence("retention", errors, verdict, 0.01)


def test_an_interval_in_words():
    assert Interval(value=0.12345, low=-1, high=2).text() == "0.123 [-1, 2]"
