"""When a trial ends early: laws on tabulated measurements."""

import itertools
import math

import numpy as np
import pytest
from fresh_process import modules_after
from records_factory import make_pruned, make_record, make_rung

from mtray.schema import EarlyStopping, Estimate, Rung
from mtray.search.early_stopping.rungs import (
    Decision,
    Point,
    can_end,
    decide,
    expected_values,
    points_of,
)
from mtray.study import load_study

GOALS = {"quality": "max", "retention": "max"}
RULE = EarlyStopping(rungs=(0.25, 0.5), margin=1.0, dominating=2, others=4)


def point(number, quality, retention, error=0.01, **more):
    values = {"quality": quality, "retention": retention}
    return Point(number, {n: Estimate(value=v, error=error) for n, v in values.items()}, **more)


GOOD = [point(n, 0.600 + n / 1000, 0.900 - n / 1000) for n in range(5)]
BAD = point(9, 0.40, 0.50)


def judge(mine, others=GOOD, rung=1, rule=RULE, goals=GOALS):
    return decide(rule, rung, mine, others, goals)


def test_worse_all_round_by_the_margin_ends_a_trial_and_says_why():
    found = judge(BAD)
    assert found.stop and found.dominated_by == (0, 1, 2, 3, 4)
    assert found.reason == (
        "rung 2 (after 50% of the steps): quality 0.400 has place 6 of 6, and trials 0, 1, 2 and 2 "
        "more are better in every objective by more than 1 standard errors"
    )


def test_without_a_margin_only_the_values_count():
    mine = point(9, 0.5999, 0.8, 0.5)
    rule = EarlyStopping(rungs=(0.25, 0.5))
    assert judge(mine, rule=rule).reason.endswith("2 more are better in every objective")
    assert not judge(mine).stop


def test_the_first_rung_ends_nothing_by_values():
    found = judge(BAD, rung=0)
    assert not found.stop and "first rung" in found.reason
    assert found.dominated_by == (0, 1, 2, 3, 4), "it is recorded all the same"


def test_quality_as_good_as_the_others_is_never_ended():
    """Whatever is lost of the abilities."""
    for quality, retention in itertools.product((0.602, 0.61, 0.7), (0.9, 0.5, 0.0, -3.0)):
        assert not judge(point(9, quality, retention)).stop


def test_an_ability_alone_never_ends_a_trial_and_saves_it():
    assert not judge(point(9, 0.595, -1.0)).stop, "its quality is within noise of the others'"
    assert not judge(point(9, 0.0, 0.90)).stop, "nobody is surely better in what it kept"


def test_baselines_and_replicates_are_never_ended():
    floor = RULE.model_copy(update={"floors": {"retention": 0.9}})
    for rule in (RULE, floor):
        found = judge(point(9, 0.40, 0.50, may_end=False), rule=rule)
        assert not found.stop and found.reason
    assert not can_end(floor, 1, may_end=False, others=99)


def test_the_order_of_the_others_is_of_no_matter():
    rng = np.random.default_rng(0)
    for _ in range(50):
        others = [point(n, *rng.uniform(0.3, 0.7, 2), rng.uniform(0, 0.1)) for n in range(6)]
        mine = point(9, *rng.uniform(0.3, 0.7, 2), 0.02)
        expected = judge(mine, others)
        for _ in range(5):
            shuffled = [others[i] for i in rng.permutation(6)]
            assert judge(mine, shuffled) == expected


def test_moving_everybody_changes_nothing():
    """Only differences count, so a metric's zero and a sign with its sense do not."""
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(100):
        table = rng.uniform(0.3, 0.7, (7, 2))
        points = [point(n, *row, 0.05) for n, row in enumerate(table)]
        moved = [point(n, *(row + 5), 0.05) for n, row in enumerate(table)]
        turned = [point(n, -row[0], row[1], 0.05) for n, row in enumerate(table)]
        stops = {
            judge(points[0], points[1:]).stop,
            judge(moved[0], moved[1:]).stop,
            judge(turned[0], turned[1:], goals={"quality": "min", "retention": "max"}).stop,
        }
        assert len(stops) == 1
        seen |= stops
    assert seen == {True, False}


def test_a_wider_margin_and_more_needed_end_fewer():
    rng = np.random.default_rng(2)
    for _ in range(200):
        points = [point(n, *rng.uniform(0.3, 0.7, 2), 0.05) for n in range(7)]
        ends = [
            judge(points[0], points[1:], rule=RULE.model_copy(update=change)).stop
            for change in (
                {"margin": 0.0, "worst": 1.0, "dominating": 1},
                {"margin": 0.0},
                {},
                {"margin": 2.0},
                {"margin": 2.0, "dominating": 4, "worst": 0.3},
            )
        ]
        assert ends == sorted(ends, reverse=True)


def test_the_margin_is_of_both_errors_together():
    others = [point(n, 0.5, 0.5, 0.03) for n in range(4)]
    limit = math.hypot(0.03, 0.04)
    assert judge(point(9, 0.5 - 1.01 * limit, 0.5 - 1.01 * limit, 0.04), others).stop
    assert not judge(point(9, 0.5 - 0.99 * limit, 0.5 - 1.01 * limit, 0.04), others).stop
    assert not judge(point(9, 0.5 - 1.01 * limit, 0.5 - 0.99 * limit, 0.04), others).stop


def test_others_must_be_enough_and_dominate_in_number():
    assert not judge(BAD, GOOD[:3]).stop
    assert judge(BAD, GOOD[:4]).stop
    lonely = [GOOD[0], *(point(n, 0.6, 0.3) for n in (1, 2, 3))]
    assert not judge(BAD, lonely).stop
    assert judge(BAD, [*lonely, GOOD[4]]).stop


def test_only_the_worst_share_of_quality_is_ended():
    """Two trials dominate the one in the middle; three are below it."""
    others = [point(0, 0.7, 0.9), point(1, 0.7, 0.9), *(point(n, 0.2, 0.2) for n in (2, 3, 4))]
    middle = point(9, 0.5, 0.5)
    assert judge(middle, others).dominated_by == (0, 1)
    assert not judge(middle, others).stop
    assert judge(middle, others, rule=RULE.model_copy(update={"worst": 0.7})).stop


def test_a_broken_floor_ends_at_once():
    rule = RULE.model_copy(update={"floors": {"retention": 0.6}})
    found = judge(point(9, 0.9, 0.5), [], rung=0, rule=rule)
    assert found == Decision(
        True,
        "rung 1 (after 25% of the steps): retention 0.500 is below its floor 0.6 by more than 1 "
        "standard errors",
    )
    assert not judge(point(9, 0.9, 0.595), [], rung=0, rule=rule).stop, "within the margin"
    for margins, stops in [({"margin": 9.0}, True), ({"floor_margin": 11.0}, False)]:
        other = rule.model_copy(update=margins)
        assert judge(point(9, 0.9, 0.5), [], rung=0, rule=other).stop is stops
    ceiling = RULE.model_copy(update={"floors": {"off_target": 0.1}})
    goals = {"quality": "max", "off_target": "min"}
    values = {"quality": 0.5, "off_target": 0.2}
    mine = Point(9, {n: Estimate(value=v, error=0.01) for n, v in values.items()})
    assert "above its floor 0.1" in judge(mine, [], rung=0, rule=ceiling, goals=goals).reason


def test_nobody_waits_where_nothing_can_end_it():
    floor = RULE.model_copy(update={"floors": {"retention": 0.6}})
    assert can_end(RULE, 1, True, 4)
    assert not can_end(RULE, 1, True, 3)
    assert not can_end(RULE, 0, True, 99)
    assert can_end(floor, 0, True, 0)


def test_the_rank_is_of_quality_wherever_it_stands():
    goals = {"retention": "max", "quality": "max"}
    assert "quality 0.400 has place" in judge(BAD, goals=goals).reason
    renamed = {"comet.en-uk": "max", "retention": "max"}
    points = [
        Point(p.number, dict(zip(renamed, p.objectives.values(), strict=True)))
        for p in (BAD, *GOOD)
    ]
    assert "comet.en-uk 0.400 has place" in judge(points[0], points[1:], goals=renamed).reason


BROKEN = [
    ("[0.5, 0.25]", "increase strictly"),
    ("[0.25, 0.25]", "increase strictly"),
    ("[0.25, 1.0]", "less than 1"),
    ("[0.0, 0.5]", "greater than 0"),
    ("[]", "at least 1 item"),
    ("[0.5]", "without `floors` the first ends no trial"),
    ("[0.25, 0.5], floors: {bleu: 20}", "names 'bleu'; `objectives` has quality, retention"),
    ("[0.25, 0.5], segments: 0", "early_stopping.segments"),
    ("[0.25, 0.5], dominating: 5", "fewer than the 5 `dominating`"),
    ("[0.25, 0.5], steps: 3", "unknown key early_stopping.steps; allowed here: rungs, segments"),
]
STUDY = """
name: small
sources: [{name: pairs, kind: parallel, languages: [en, uk], path: pairs.tsv}]
evaluation:
  comet: embedded
  quality: [{direction: en-uk, path: dev.tsv}]
  abilities: {few: {measure: few_shot, path: a.tsv, shots_path: b.tsv, direction: en-uk}}
"""


@pytest.mark.parametrize("text, message", BROKEN)
def test_mistakes_in_a_study_are_named(tmp_path, text, message):
    path = tmp_path / "study.yaml"
    path.write_text(f"{STUDY}early_stopping: {{rungs: {text}}}\n")
    with pytest.raises(ValueError, match=r"study\.yaml") as caught:
        load_study(path)
    assert message in str(caught.value)


def test_a_study_with_rungs_and_one_without(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    assert load_study(path).early_stopping is None
    path.write_text(f"{STUDY}early_stopping: {{rungs: [0.5], floors: {{retention: 0.6}}}}\n")
    assert load_study(path).early_stopping == EarlyStopping(rungs=(0.5,), floors={"retention": 0.6})


def test_what_a_pruned_trial_would_have_come_to():
    """By hand: 0.2 and 0.1 below, at the rung, trials that came to 0.70, 0.72 and 0.8, 0.6."""
    others = [
        make_record(2, 0.70, 0.8, rungs=(make_rung(0.6, 0.6),)),
        make_record(3, 0.72, 0.6, rungs=(make_rung(0.6, 0.6),)),
        make_record(4, 0.99, 0.99, rungs=(make_rung(0.6, 0.6),)),
    ]
    found = expected_values(make_pruned(7), others, GOALS)
    assert found == {"quality": pytest.approx(0.51), "retention": pytest.approx(0.60)}
    assert expected_values(make_pruned(7), others[2:], GOALS) is None
    assert (
        expected_values(make_pruned(7), [make_record(2, rungs=(make_rung(0.6, 0.6, 0),))], GOALS)
        is None
    )
    assert expected_values(make_pruned(7), [make_pruned(2)], GOALS) is None


def test_records_give_the_rungs_back():
    records = [make_record(2, rungs=(make_rung(0.6, 0.6),)), make_record(3), make_pruned(4)]
    unmeasured = Rung(rung=1, step=2, steps=4, decision="not measured: no metric")
    records.append(make_record(5, rungs=(unmeasured,)))
    found = points_of(records, GOALS)
    assert {rung: sorted(by) for rung, by in found.items()} == {0: [4], 1: [2, 4]}
    assert found[1][4].objectives["quality"] == Estimate(value=0.4, error=0.01)


def test_the_rule_is_light():
    heavy = {"torch", "transformers", "ray", "optuna", "comet"}
    assert not heavy & modules_after("import mtray.search.early_stopping.rungs")
