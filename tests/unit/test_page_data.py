"""What the page shows of a run folder, while it runs and afterwards."""

import json
import time

import pytest
from kept_outputs_factory import REFERENCES, answers, make_run
from records_factory import make_failed, make_record

from mtray.errors import MtrayError
from mtray.report.bootstrap_draws import draws_of
from mtray.report.records import read_records, write_record
from mtray.run_files import result_path, trial_dir
from mtray.search.ledger.journal_overview import read_overview
from mtray.search.ledger.live_progress import LiveProgress, RunningTrial, write_progress
from mtray.search.ledger.run_folder import load_bound
from mtray.serving import run_view
from mtray.serving.run_data import front_data, running_trial, state_data, table_data
from mtray.serving.run_view import Background, RunView
from mtray.serving.translations import Translations

EVIL = "</script><script>alert(1)</script>\u202e\u2028"


def run_data(run_dir, now=None):
    """The parts that are computed from the folder's files at once."""
    study, space = load_bound(run_dir)
    records, overview = read_records(run_dir), read_overview(run_dir)
    moment = time.time() if now is None else now
    return {
        "state": state_data(run_dir, study, records, overview, moment),
        "table": table_data(study, records, overview, {}),
        "front": front_data(run_dir, study, space, records, draws_of(run_dir)),
    }


@pytest.fixture
def run_dir(tmp_path):
    return make_run(tmp_path)


def test_all_parts_of_a_finished_run(run_dir):
    found = run_data(run_dir)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [r["number"] for r in found["table"]["rows"]] == [-1, 2, 3, 4, 5]
    assert found["front"]["answer"]["number"] in (-1, 2)
    assert found["state"]["sweep"] is None and found["state"]["run"] == "mine"
    assert found["state"]["warnings"] == []


def test_a_run_without_a_complete_trial_has_no_front(run_dir):
    for number in (-1, 2, 3, 4):
        result_path(run_dir, number).unlink()
    found = run_data(run_dir)
    assert found["front"] is None
    assert found["state"]["warnings"] == ["wrong: no trial is complete, and 1 failed"]


def test_damage_is_said_and_the_rest_is_shown(run_dir):
    result_path(run_dir, 4).write_text("{")
    found = run_data(run_dir)
    assert len(found["state"]["warnings"]) == 1
    assert "0004" in found["state"]["warnings"][0]
    assert [r["number"] for r in found["table"]["rows"]] == [-1, 2, 3, 5]


def test_text_of_a_record_stays_text(run_dir):
    write_record(run_dir, make_failed(6).model_copy(update={"reason": EVIL}))
    found = run_data(run_dir)
    assert found["table"]["rows"][-1]["reason"] == EVIL == found["front"]["failed"]["6"]


@pytest.mark.parametrize(
    "step, steps, spent, left",
    [(100, 400, 10.0, 30.0), (400, 400, 10.0, 0.0), (None, None, 10.0, None), (0, 9, 10.0, None)],
)
def test_time_left_in_a_phase(step, steps, spent, left):
    trial = RunningTrial(number=3, state="training", since=90.0, step=step, steps=steps)
    found = running_trial(trial, 90.0 + spent)
    assert (found["spent"], found["phase_left"], found["name"]) == (spent, left, "3")


def test_a_sweep_that_runs(run_dir):
    curve = ((10, 2.5), (20, 2.25))
    trial = RunningTrial(number=7, state="training", since=90.0, step=20, steps=80, curve=curve)
    write_progress(
        run_dir, LiveProgress(written=100.0, finished=4, total=9, seconds_left=50, trials=(trial,))
    )
    sweep = run_data(run_dir, now=103.0)["state"]["sweep"]
    assert (sweep["finished"], sweep["total"], sweep["age"]) == (4, 9, 3.0)
    assert sweep["trials"][0]["curve"] == [[10, 2.5], [20, 2.25]]
    assert run_data(run_dir, now=200.0)["state"]["sweep"] is None, "it was killed"


def part(view, name, **query):
    found = view.part(name, query)
    return found.tag, json.loads(found.body)


def until(test):
    end = time.monotonic() + 30
    while not (found := test()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


@pytest.fixture
def view(run_dir, monkeypatch):
    monkeypatch.setattr(run_view, "LOOK", 0.0)
    monkeypatch.setattr(run_view, "REST", 0.0)
    return RunView(run_dir)


def test_a_trial_that_ends_is_shown_at_once_and_then_on_the_front(run_dir, view):
    state = part(view, "state")[1]
    tag, table = part(view, "table")
    assert state["versions"]["table"] == tag and len(table["rows"]) == 5
    assert part(view, "table")[0] == tag, "nothing has changed"
    front = until(lambda: part(view, "front")[1]["value"])
    assert len(front["points"]) == 2  # trials 2, 3 and 4 have one recipe
    write_record(run_dir, make_record(8, quality=0.7, seed=2))
    later = part(view, "state")[1]["versions"]
    assert later["table"] != tag
    assert [r["number"] for r in part(view, "table")[1]["rows"]][-1] == 8
    newer = until(
        lambda: 8 in [n for p in part(view, "front")[1]["value"]["points"] for n in p["trials"]]
    )
    assert newer and part(view, "state")[1]["versions"]["front"] != later["front"]


def test_a_sweep_that_has_not_bound_its_run_yet(tmp_path):
    view = RunView(tmp_path / "soon")
    assert part(view, "state")[1]["starting"] and view.part("table", {}) is None


def test_what_cannot_be_made_is_said_and_made_again_for_newer_records():
    made = []

    def make():
        made.append(1)
        if len(made) == 1:
            raise ValueError(EVIL)
        return {"a": 1}

    part = Background(make)
    part.want(1)
    until(lambda: part.version == 1 and not part.busy)
    assert part.error == f"ValueError: {EVIL}" and part.value is None
    part._not_before = 0.0
    part.want(1)
    assert part.version == 1 and len(made) == 1, "the same records give the same error"
    part.want(2)
    until(lambda: part.version == 2)
    assert part.value == {"a": 1} and part.error == ""


@pytest.fixture
def translations(run_dir):
    return Translations(run_dir, load_bound(run_dir)[0])


def test_sets_and_trials_that_can_be_read(translations):
    found = translations.answer({})
    assert [(s["name"], s["translation"]) for s in found["sets"]] == [
        ("quality.en-uk", True), ("quality.uk-en", True), ("a", False),
    ]  # fmt: skip
    assert found["available"] == ["base", "2", "3"] and "copy" in found["labels"]


def test_answers_side_by_side(translations):
    found = translations.answer({"set": "quality.en-uk", "trials": "base,3,2"})
    assert found["trials"] == ["base", "3", "2"] and len(found["segments"]) == 30
    segment = found["segments"][3]
    assert segment["source"] == REFERENCES["uk-en"][3]
    assert segment["reference"] == REFERENCES["en-uk"][3] == segment["answers"][1]["text"]
    assert segment["answers"][0]["text"] == answers("en-uk", 3)[3].text
    assert segment["answers"][1]["score"] == 100
    assert segment["answers"][0]["score"] < segment["answers"][2]["score"] < 100
    kept = translations.answer({"set": "a", "trials": "2"})
    assert [s["source"] for s in kept["segments"]] == ["other"]


@pytest.mark.parametrize(
    "query, said",
    [
        ({"set": "quality.xx-yy"}, "no evaluation set 'quality.xx-yy'; allowed: quality.en-uk"),
        ({"set": "a", "trials": "../../x"}, "expected a trial's number or base, found '../../x'"),
        ({"set": "a", "trials": ""}, "expected a trial's number or base"),
        ({"set": "a", "trials": "9" * 5000}, "expected a trial's number or base, found '999"),
        ({"set": "a", "trials": "1,2,3,4,5"}, "at most 4 side by side, found 5"),
        ({"set": "a", "trials": "9"}, "trial 9 has kept no outputs"),
        ({"set": "quality.en-uk", "metric": "comet"}, "metric: found 'comet'; allowed: chrf"),
    ],
)
def test_what_cannot_be_listed(translations, query, said):
    with pytest.raises(MtrayError, match=said.replace("?", r"\?")):
        translations.answer(query)


def test_outputs_of_another_study_are_refused(run_dir, view):
    file = trial_dir(run_dir, 2) / "outputs.parquet"
    file.write_bytes(b"no parquet")
    with pytest.raises(MtrayError, match="not a readable file"):
        view.part("outputs", {"set": "quality.en-uk", "trials": "base,2"})
