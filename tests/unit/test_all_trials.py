"""Every complete trial, one by one."""

import json
from pathlib import Path

import pytest
from records_factory import (
    make_baselines,
    make_failed,
    make_pruned,
    make_record,
    make_score,
    make_study,
)

from mtray.errors import ConfigError, RunError
from mtray.report.all_trials import AllTrials, all_trials, trials_lines, trials_sheet
from mtray.report.printing import plain, stacked
from mtray.schema import Recipe

HALF = Recipe(parallel_size=900, reversion_alpha=0.5)
AGAIN = make_record(3, 0.63, 0.75, of=2, seed=5, replicate=1)
REVERTED = make_record(1_000_002, 0.6, 0.9, recipe=HALF, trained_as=2)
MORE = make_record(4, recipe=Recipe(parallel_size=70), scores={
    "retention.animacy": make_score(0.9), "retention.idioms": make_score(0.7),
    "retention.mean": make_score(0.8), "retention.worst": make_score(0.7),
})  # fmt: skip
RECORDS = [*make_baselines(), make_record(2, 0.65, 0.7), AGAIN, REVERTED, MORE,
           make_failed(5), make_pruned(6)]  # fmt: skip


def found_of(records=RECORDS, against=None):
    return all_trials(records, make_study(), Path("run"), against=against)


def test_trials_not_recipes_and_complete_ones_alone():
    found = found_of()
    assert [t.number for t in found.trials] == [-1, 0, 1, 2, 3, 4, 1_000_002]
    assert found.abilities == ("retention.animacy", "retention.idioms")
    assert found.trials[4].scores["quality"].value == 0.63, "its own, and no mean over seeds"
    assert AllTrials.model_validate(json.loads(json.dumps(found.model_dump(mode="json")))) == found


def test_rows_by_hand():
    sheet = trials_sheet(found_of())
    rows = {row[0]: dict(zip(sheet.head, row, strict=True)) for row in sheet.rows}
    assert rows["base"]["quality"] == "0.420 [0.410, 0.430]"
    assert rows["3"]["quality"].startswith("+0.210 [") and rows["3"]["repeats"] == "2"
    assert (rows["3"]["seed"], rows["3"]["role"]) == ("5", "search")
    assert (
        rows["1000002"]["repeats"] == "weights of 2" and rows["1000002"]["reversion_alpha"] == "0.5"
    )
    assert rows["2"]["retention.idioms"] == "-", "it was not measured there"
    assert rows["4"]["retention.idioms"] == "-", "the base model has none to compare with"
    assert rows["4"]["retention.animacy"].startswith("-0.100 [")


@pytest.mark.parametrize(
    ("against", "start", "line"),
    [
        (None, "+0.230", "Differences to: base model, untouched"),
        ("parallel_only", "+0.035", "Differences to: parallel data only"),
        ("3", "+0.010", "Differences to: trial 2,"),  # the mean of 2 and 3: .64
    ],
)
def test_what_trials_are_compared_with(against, start, line):
    found = found_of(against=against)
    assert found.trials[3].differences["quality"].gap == pytest.approx(float(start))
    assert any(text.startswith(line) for text in trials_lines(found))


def test_absolute_values():
    found = found_of().model_copy(update={"reference": None})
    rows = {row[0]: row for row in trials_sheet(found).rows}
    assert rows["4"][-2:] and "0.700 [0.690, 0.710]" in rows["4"]
    assert "0.650 [0.640, 0.660]" in rows["2"]
    assert any("segments only" in line for line in trials_lines(found))


def test_wide_tables_are_stacked_in_lines_that_fit_and_plain_ones_are_not_cut():
    sheet = trials_sheet(found_of())
    lines = stacked(sheet, 70)
    assert lines[0] == "base  base" and all(len(line) <= 70 for line in lines)
    assert any(line.startswith("    retention.animacy ") for line in lines)
    assert len(plain(sheet)) == 8 and plain(sheet)[0].split() == list(sheet.head)


def test_a_run_without_a_complete_trial_and_a_recipe_that_is_not_there():
    with pytest.raises(RunError, match="no trial is complete yet"):
        found_of([make_failed(0)])
    with pytest.raises(ConfigError, match="--against 77: no complete recipe"):
        found_of(against="77")
