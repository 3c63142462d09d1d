"""What a user prefers: read from a study, checked, and as arrays."""

import numpy as np
import pytest
from records_factory import make_study
from test_rungs import STUDY

from mtray.analysis.preference import Utility, preferred_order, utility
from mtray.errors import ConfigError
from mtray.schema import Preference, Study, preference_text
from mtray.search.strategy.preference_notes import base_notes, preference_plan
from mtray.study import load_study

OBJECTIVES = {"quality": "max", "retention": "max", "cost": "min"}


def prefer(**found):
    return {name: Preference.model_validate(p) for name, p in found.items()}


def study_with(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_text(f"{STUDY}prefer: {text}\n")
    return load_study(path)


def test_a_study_says_what_it_prefers(tmp_path):
    found = study_with(
        tmp_path, "{retention: {at_least: .95, weight: [1, 3]}, quality: {weight: 2}}"
    )
    assert found.prefer["retention"] == Preference(at_least=0.95, weight=(1.0, 3.0))
    assert found.prefer["quality"].weight == (2.0, 2.0)
    assert Study.model_validate(found.model_dump(mode="json")) == found, "as a run stores it"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("{at_least: '0.95'}", Preference(at_least=0.95)),
        ("{weight: '2'}", Preference(weight=(2, 2))),
        ("{weight: ['1', 3]}", Preference(weight=(1, 3))),
        ("{weight: 1e1}", Preference(weight=(10, 10))),  # YAML 1.1 calls that a text
    ],
)
def test_a_number_may_be_quoted_as_everywhere_in_a_study(tmp_path, text, expected):
    assert study_with(tmp_path, f"{{retention: {text}}}").prefer["retention"] == expected


@pytest.mark.parametrize(
    "text, said",
    [
        ("{bleu: {at_least: 20}}", "`prefer` names 'bleu'; `objectives` has quality, retention"),
        (
            "{retention: {at_most: .95}}",
            "retention is an objective to maximise; give at_least",
        ),
        ("{retention: {at_least: .9, at_most: .95}}", "give one of at_least and at_most"),
        ("{retention: {}}", "`prefer.retention` says nothing; give at_least, weight, or both"),
        ("{retention: {weight: -1}}", "prefer.retention.weight: a weight is at least 0"),
        ("{retention: {weight: [3, 1]}}", "an interval [low, high] goes upwards, found [3, 1]"),
        ("{retention: {weight: [1, 2, 3]}}", "expected a number, or [low, high]"),
        ("{retention: {weight: much}}", "expected a number, or [low, high], found 'much'"),
        ("{retention: {weight: true}}", "expected a number, or [low, high], found True"),
        ("{retention: {weight: .inf}}", "a finite number"),
        ("{retention: {at_least: .nan}}", "a finite number"),
        ("{retention: {floor: .9}}", "allowed here: at_least, at_most, weight"),
        (
            "{retention: {weight: 0}, quality: {weight: 0}}",
            "`prefer` has weight 0 for every objective",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, text, said):
    with pytest.raises(ConfigError) as raised:
        study_with(tmp_path, text)
    assert said in str(raised.value) and "study.yaml" in str(raised.value)


def test_one_weight_of_zero_is_allowed(tmp_path):
    assert study_with(tmp_path, "{retention: {weight: 0}}").prefer["retention"].weight == (0, 0)


def test_in_words():
    found = prefer(retention={"at_least": 0.95}, quality={"weight": [1, 3]})
    assert preference_text(found, {"quality": "max", "retention": "max"}) == (
        "retention at least 0.95; weights: quality 1 to 3, retention 1"
    )
    assert preference_text(prefer(cost={"at_most": 2})) == "cost at most 2"


def test_as_arrays_more_is_better():
    found = utility(
        OBJECTIVES, prefer(retention={"at_least": 0.9}, cost={"at_most": 2, "weight": [1, 4]})
    )
    assert found.floors.tolist() == [-np.inf, 0.9, -2]
    assert (found.low.tolist(), found.high.tolist()) == ([1, 1, 1], [1, 1, 4])
    assert found.weighted and found.floored
    assert found.shifted(np.array([0.5, 1.0, -3.0])).floors[1:] == pytest.approx([-0.1, 1.0])
    plain = utility(OBJECTIVES, {})
    assert not plain.weighted and not plain.floored
    assert (plain.weights(3, 1) == 1).all() and (plain.mean_weights == 1).all()


@pytest.mark.parametrize("k", [1e-310, 0.1, 1, 30, 5e307])
def test_only_ratios_of_weights_count(k):
    found = Utility(np.array([3.0, 1.0]) * k, np.array([3.0, 1.0]) * k, np.full(2, -np.inf))
    assert found.mean_weights == pytest.approx([1.5, 0.5])
    assert found.weights(2, 1) == pytest.approx(np.array([[1.5, 0.5]] * 2))


def test_an_interval_is_drawn_evenly():
    found = Utility(np.array([1.0, 1.0]), np.array([3.0, 1.0]), np.full(2, -np.inf))
    drawn = found.weights(20_000, 1)
    ratios = drawn[:, 0] / drawn[:, 1]
    assert drawn.mean(axis=1) == pytest.approx(np.ones(len(drawn)))
    assert np.quantile(ratios, [0, 0.5, 1]) == pytest.approx([1, 2, 3], abs=0.02)
    assert found.mean_weights == pytest.approx(drawn.mean(axis=0), abs=0.003)


def test_a_shortfall_by_hand():
    found = Utility(np.ones(2), np.ones(2), np.array([-np.inf, 0.9]))
    values = np.array([[0.0, 0.95], [9.0, 0.7]])
    assert found.shortfall(values, np.array([1.0, 0.1])) == pytest.approx([0, 2])
    assert found.shortfall(values, np.array([1.0, 0.0])) == pytest.approx([0, 0.2]), "own unit"


@pytest.mark.parametrize(
    "worth, shortfall, reaches, order",
    [
        ([1, 3, 2], [0, 0, 0], [1, 1, 1], [1, 2, 0]),
        ([1, 3, 2], [0, 1, 0.1], [1, 0, 0.5], [2, 0, 1]),
        ([1, 3, 2], [0.3, 0.2, 0.1], [0.4, 0.4, 0.4], [2, 1, 0]),
        ([2, 2], [0, 0], [1, 1], [0, 1]),
    ],
)
def test_the_most_preferred_comes_first(worth, shortfall, reaches, order):
    found = preferred_order(*(np.array(part, dtype=float) for part in (worth, shortfall, reaches)))
    assert found.tolist() == order


def test_the_plan_says_what_is_preferred_and_what_does_not_follow():
    assert preference_plan(make_study()) == []
    study = make_study(prefer=prefer(retention={"at_least": 1.1}), sampler="tpe")
    lines = preference_plan(study)
    assert lines[0] == "preferred: retention at least 1.1"
    assert "sampler tpe does not know `prefer`" in lines[1]
    assert "the base model has 1 by definition" in lines[2]


def test_a_base_model_that_misses_a_limit_is_said():
    from records_factory import make_run

    records = make_run(2)
    low = make_study(prefer=prefer(quality={"at_least": 0.1}))
    high = make_study(prefer=prefer(quality={"at_least": 0.9}))
    assert base_notes(low, records) == []
    assert base_notes(high, records[1:]) == [], "it is not measured yet"
    assert base_notes(high, records) == [
        "`prefer.quality` is at least 0.9; the base model itself has 0.42 and does not reach that"
    ]
