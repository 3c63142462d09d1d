"""A measure has the same decimals in all rows of a table, whatever its values are near."""

import re
from pathlib import Path

import pytest
from records_factory import make_baselines, make_record, make_score, make_study

from mtray.commands.rescore import gap_text
from mtray.report import held_out_results as held_out
from mtray.report.all_trials import all_trials, trials_sheet
from mtray.report.answer_text import gain_text
from mtray.report.baseline_gains import against_sheet
from mtray.report.effects import MeasureEffects
from mtray.report.effects_text import left_out_sheet
from mtray.report.evidence import evidence
from mtray.report.front_builder import build_front
from mtray.report.groups import no_draws
from mtray.report.held_out_results import Gap, HeldOut, Row, lines
from mtray.report.leave_one_out import LeftOutError
from mtray.report.posterior import Expected, posterior_of
from mtray.report.tables import front_cells, score_text
from mtray.report.units import in_points
from mtray.schema import Recipe, Score
from mtray.search_space.parameters import FloatRange
from mtray.search_space.space import Space

BLEU = {"signature": "BLEU|x", "least": 0.0, "most": 100.0}
NUMBER = re.compile(r"\d\.(\d+)")


def score(value, **changes):
    fields = {"value": value, "low": value - 0.5, "high": value + 0.5, "n": 9, "signature": "x"}
    return Score(**fields | changes)


@pytest.mark.parametrize(
    ("scores", "points"),
    [
        ([score(9.96, **BLEU), score(10.4, **BLEU)], True),
        ([score(0.3, **BLEU)], True),
        ([score(0.9, least=0.0, most=1.0)], False),
        ([score(-2.0, most=0.0)], False),  # bits a character
        ([score(9.96), score(10.4)], True),  # of a version that recorded no bounds; minutes
        ([score(9.96), score(0.2)], False),
        ([score(-12.0)], True),
        ([], False),
    ],
)
def test_bounds_decide_or_else_the_largest_value(scores, points):
    assert in_points(scores) is points


def test_a_score_has_the_decimals_of_those_beside_it():
    assert score_text(score(9.96)) == "9.960 [9.460, 10.460]"
    assert score_text(score(9.96), [score(10.4)]) == "10.0 [9.5, 10.5]"
    assert score_text(score(9.96, **BLEU)) == "10.0 [9.5, 10.5]"


SPACE = Space(parameters={"mono_ratio": FloatRange(type="float", low=0, high=2)})
STUDY = make_study(objectives={"bleu.en-uk": "max", "retention": "max"})
VALUES = {-1: 9.4, 0: 9.96, 1: 10.4, 2: 9.8, 3: 11.0}


def records(bounds):
    others = [make_record(n, recipe=Recipe(parallel_size=n)) for n in (2, 3)]
    found = [*make_baselines(), *others]
    return [
        r.model_copy(update={"objectives": {
            "bleu.en-uk": score(VALUES[r.number], **bounds), "retention": make_score(0.9),
        }})
        for r in found
    ]  # fmt: skip


def decimals_of(texts):
    return {len(d) for text in texts for d in NUMBER.findall(text)}


@pytest.mark.parametrize("bounds", [BLEU, {}], ids=["bounds", "earlier version"])
def test_every_table_has_one_decimal_for_bleu(bounds):
    found = records(bounds)
    front, trials = (make(found, STUDY, Path("runs/x")) for make in (build_front, all_trials))
    for reference in (-1, None):
        update = {"reference": reference}
        head, rows = front_cells(front.model_copy(update=update))
        place = next(i for i, name in enumerate(head) if name.startswith("bleu"))
        assert decimals_of(row[place] for row in rows) == {1}
        assert decimals_of(row[place + 1] for row in rows) == {3}
        sheet = trials_sheet(trials.model_copy(update=update))
        place = list(sheet.head).index("bleu.en-uk")
        assert decimals_of(row[place] for row in sheet.rows) == {1}
    against = [row for row in against_sheet(front).rows if row[1] == "bleu.en-uk"]
    assert decimals_of(row[2] for row in against) == {1}
    told = evidence(found, list(STUDY.objectives))
    assert told.in_points("bleu.en-uk") and not told.in_points("retention")
    told = posterior_of(found, STUDY, SPACE, no_draws)
    assert [gain.points for gain in told.expected(1, 0)] == [True, False]


def test_gains_of_both_kinds():
    gain = Expected(objective="q", gain=0.46, base=9.6, low=-0.04, high=1.0, better=0.9)
    assert gain_text(gain) == "+0.460 [-0.040, +1.000]"
    assert gain_text(gain.model_copy(update={"points": True})) == "+0.5 [+0.0, +1.0]"


@pytest.mark.parametrize(
    ("points", "text"),
    [(True, "+0.46 [-0.04, +1.00]"), (False, "+0.4600 [-0.0400, +1.0000]")],
)
def test_a_difference_of_rescored_trials_has_one_decimal_more(points, text):
    assert gap_text(score(0.46, low=-0.04, high=1.0), points) == text


def test_held_out_results_have_the_decimals_of_both_sides():
    gap = Gap(value=0.46, low=-0.04, high=1.0)
    measured = held_out.TestedScore(dev=score(9.96), test=score(10.4), dev_gap=gap, test_gap=gap)
    row = Row.model_construct(number=2, role="search", on_front=True, objectives={"bleu": measured})
    touch = held_out.TestMeasurement.model_construct(when="now", trained=False)
    result = HeldOut.model_construct(rows=(row,), touched=(touch,), sets=("x",), notes=())
    line = lines(result)[1]
    assert decimals_of([line]) == {1} and "+0.5 [-0.0, +1.0]" in line


def test_errors_of_left_out_recipes_have_three_digits():
    def left(error):
        return LeftOutError(model="linear", error=error, coverage=1.0, log_density=0.0)

    each = MeasureEffects(measure="q", effects=(), left_out=(left(0.0041234), left(132.46)))
    assert [row[2] for row in left_out_sheet([each]).rows] == ["0.00412", "132"]
