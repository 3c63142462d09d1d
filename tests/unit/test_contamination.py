"""Evaluation texts in the data of a run: how many, and that people are told."""

import json

import pytest
from bound_run import (
    PLAIN,
    SPACE,
    again,
    record,
    save_model,
    start,
    study_in,
    without_training,
    write_files,
)

from mtray.data.contamination import Contamination, contaminated_texts, contamination_lines
from mtray.preparation import prepare
from mtray.search.ledger.run_folder import check_bound, sources_study
from mtray.sweep_plan import plan_lines


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model"))


CASES = {
    # leakage, test segments at the first start: rows with a text of dev and of test, by source
    "dropped from the start": ("drop", True, {"pairs": (0, 0), "mono": (0, 0)}),
    "dropped, test named later": ("drop", False, {"pairs": (0, 5), "mono": (0, 2)}),
    "allowed from the start": ("allow", True, {"pairs": (3, 5), "mono": (2, 2)}),
    "allowed, test named later": ("allow", False, {"pairs": (3, 5), "mono": (2, 2)}),
    "not looked for": (None, False, {"pairs": (None, None), "mono": (None, None)}),
}


@pytest.mark.parametrize("case", CASES)
def test_rows_that_trials_are_trained_on_are_counted(tmp_path, case):
    leakage, first, counts = CASES[case]
    write_files(tmp_path)
    bound = study_in(tmp_path, "none", first, filters={"leakage": leakage})
    study = study_in(tmp_path, "none", True, filters={"leakage": leakage})
    expected = [Contamination(source, *found) for source, found in counts.items()]
    assert contaminated_texts(study, sources_study(study, bound.evaluation)) == expected


def test_a_source_s_own_filters_count(tmp_path):
    write_files(tmp_path)
    study = study_in(tmp_path, "none", True)
    pairs, mono = study.sources
    pairs = pairs.model_copy(update={"filters": {"leakage": "allow"}})
    mono = mono.model_copy(update={"filters": {"leakage": None}})
    study = study.model_copy(update={"sources": (pairs, mono)})
    assert contaminated_texts(study, study) == [
        Contamination("pairs", 3, 5),
        Contamination("mono", None, None),
    ]
    assert contamination_lines(contaminated_texts(study, study)) == [
        "source pairs has 3 rows with a text of the dev segments and 5 with one of the test "
        "segments, and trials are trained on them",
        "source mono: not checked for evaluation texts (`leakage: null`)",
    ]


def test_nothing_is_read_where_there_can_be_none(tmp_path):
    write_files(tmp_path)
    study = study_in(tmp_path, "none", True)
    for file in tmp_path.iterdir():
        file.unlink()
    assert contamination_lines(contaminated_texts(study, study)) == []


def lines_at_start(run_dir, study):
    bound = check_bound(run_dir, study, SPACE)
    return [
        line
        for line in plan_lines(prepare(study, SPACE, sources=bound.sources_study))
        if "note: " in line
    ]


def test_a_sweep_says_what_its_sources_hold_of_test_segments_named_later(tmp_path, model):
    write_files(tmp_path)
    run_dir = tmp_path / "run"
    start(run_dir, study_in(tmp_path, model), PLAIN)
    assert lines_at_start(run_dir, study_in(tmp_path, model)) == []
    assert lines_at_start(tmp_path / "fresh", study_in(tmp_path, model, True)) == []
    head, pairs, mono = lines_at_start(run_dir, study_in(tmp_path, model, True))
    assert (
        head == "  note: `test` was added after the first start of the run, so it changes no "
        "trial's data"
    )
    assert "source pairs has 0 rows with a text of the dev segments and 5 with one of" in pairs
    assert "source mono has 0 rows with a text of the dev segments and 2 with one of" in mono
    other = tmp_path / "test.tsv"
    other.write_text("en\tuk\nadd ace dab fed ebb\tdad bee add fed ace\n" * 4)
    found = lines_at_start(run_dir, study_in(tmp_path, model, True))
    assert found[1:] == ["  note: no source contains a text of the dev or test segments"]


@pytest.mark.parametrize("gone", [False, True])
def test_a_test_says_so_too(tmp_path, model, monkeypatch, gone):
    from mtray.commands import held_out_test
    from mtray.trial.job import Outcome

    write_files(tmp_path)
    run_dir = tmp_path / "run"
    without_training(monkeypatch)
    record(run_dir, PLAIN, start(run_dir, study_in(tmp_path, model), PLAIN).mix)
    start(run_dir, study_in(tmp_path, model, True), PLAIN)
    if gone:  # kept weights do without the sources
        kept = Outcome([], found_mix(run_dir), None, {}, {})
        monkeypatch.setattr(held_out_test, "kept_weights", lambda *_: tmp_path)
        monkeypatch.setattr(held_out_test, "kept_outcome", lambda *_: kept)
        (tmp_path / "pairs.tsv").unlink()
    assert again("test", run_dir, tmp_path) == 0
    notes = json.loads((run_dir / "test.json").read_text())["notes"]
    if gone:
        assert any(
            "sources were not checked for evaluation texts: " in note and "no such file" in note
            for note in notes
        )
    else:
        assert (
            "source pairs has 0 rows with a text of the dev segments and 5 with one of the test "
            "segments, and trials are trained on them"
        ) in notes


def found_mix(run_dir):
    from mtray.report.records import read_record
    from mtray.run_files import result_path

    return read_record(result_path(run_dir, 0)).mix
