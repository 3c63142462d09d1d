"""A run that goes on with another version of the code says so."""

import json

import pytest
from records_factory import make_failed, make_record, make_study

from mtray.run_files import STUDY_FILE
from mtray.search.ledger import code_check, run_folder
from mtray.search.ledger.code_check import other_code_note
from mtray.search.ledger.run_folder import bind
from mtray.search_space.parameters import FloatRange
from mtray.search_space.space import Space

SPACE = Space(
    parameters={"mono_ratio": FloatRange(type="float", low=0, high=2)}, fixed={"parallel_size": 64}
)


def by(code, *numbers):
    return [make_record(n, versions={"code": code} if code else {}) for n in numbers]


@pytest.fixture
def running(monkeypatch):
    """Sets the code and the commit that run."""

    def run(code, commit=None):
        for module in (run_folder, code_check):
            monkeypatch.setattr(module, "trial_code", lambda: code)
            monkeypatch.setattr(module, "commit", lambda: commit)

    return run


@pytest.mark.parametrize(
    ("records", "named"),
    [
        (by("new", -1, 0), None),
        ([], None),
        (by("old", -1, 0), "trials base, 0 of"),
        (by("new", -1, 0) + by("old", 1), "trial 1 of"),
        (by(None, 3), "trial 3 of"),
        ([make_failed(2).model_copy(update={"versions": {"code": "old"}})], None),
    ],
)
def test_trials_of_another_code_are_named(records, named, tmp_path, running):
    running("new")
    bind(tmp_path, make_study(), SPACE)
    note = other_code_note(tmp_path, records)
    assert note.startswith(f"{named} this run were made by another version") if named else not note
    assert "commit" not in note


def test_the_commits_are_those_of_the_first_start_and_of_now(tmp_path, running):
    running("old", "aaa")
    bind(tmp_path, make_study(), SPACE)
    running("new", "bbb")
    bind(tmp_path, make_study(), SPACE)
    found = json.loads((tmp_path / STUDY_FILE).read_text())
    assert found["begun_by"] == {"code": "old", "commit": "aaa"}
    note = other_code_note(tmp_path, by("old", 0))
    assert "(the run began at commit aaa, this is bbb)" in note


def test_a_run_of_a_version_that_recorded_no_code_goes_on_without_commits(tmp_path, running):
    running("new", "bbb")
    bind(tmp_path, make_study(), SPACE)
    found = json.loads((tmp_path / STUDY_FILE).read_text())
    del found["begun_by"]
    (tmp_path / STUDY_FILE).write_text(json.dumps(found))
    bind(tmp_path, make_study(), SPACE)
    assert "begun_by" not in json.loads((tmp_path / STUDY_FILE).read_text())
    assert "commit" not in other_code_note(tmp_path, by(None, 0))
