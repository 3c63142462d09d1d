"""Requests to a running sweep: what is asked, what the driver does, what a later start keeps."""

import json
import re
import threading
import time

import pytest
from ledger_factory import ledger_in, states_in, study_of
from records_factory import make_pruned, make_record
from test_cli import run, run_dir  # noqa: F401
from test_searcher import FINISHED, begun, cluster, searcher  # noqa: F401

from mtray.commands import control
from mtray.commands.control import ask_sweep, request_of, seconds_of
from mtray.control_requests import (
    FOLDER,
    LOG,
    Answer,
    Request,
    answers,
    ask,
    claimed,
    raised,
    standing,
    to_stop,
    withdraw,
)
from mtray.errors import ConfigError, RunError
from mtray.report.records import read_records, write_json, write_record
from mtray.run_files import STUDY_FILE
from mtray.schema import Budget
from mtray.search.execution import controls
from mtray.search.execution.controls import Actions, Controls
from mtray.search.execution.incomplete_records import stopped_record
from mtray.search.execution.progress import ProgressActor
from mtray.search.ledger.run_folder import locked


class Driver:
    """Controls of a made-up sweep of 10 trials, of which 3 and 4 run."""

    def __init__(self, folder, **budget):
        self.run_dir, self.stopped, self.raised, self.said = folder, [], [], []
        budget = Budget(**({"trials": 10} | budget))
        write_json(folder / STUDY_FILE, {"study": {"budget": budget.model_dump(mode="json")}})
        self.limits = searcher.Limits(budget.trials)
        actions = Actions(
            lambda: [-1, 3, 4], self.stopped.append,
            lambda budget, total: self.raised.append((budget.trials, total)), self.said.append,
        )  # fmt: skip
        self.controls = Controls(folder, budget, self.limits, actions)

    def asked(self, what, value=None):
        ask(self.run_dir, request_of(what, value))
        self.controls.look()
        return answers(self.run_dir)[-1]


@pytest.mark.parametrize(
    "what, value, done, said",
    [
        ("stop-trial", "3", True, "trial 3 ends at its next step"),
        ("stop-trial", "7", False, "trial 7 is not running; running: trials base, 3, 4"),
        ("stop-trial", "base", False, "every trial is compared with the base model"),
        ("add-trials", "5", True, "the sweep ends after 15 trials"),
        ("pause", None, True, "no new trial starts until `resume`"),
        ("resume", None, False, "the sweep is not paused"),
        ("time-limit", "2h", True, "no new trial starts after"),
        ("time-limit", "off", True, "there is no time limit"),
    ],
)
def test_what_the_driver_answers(tmp_path, what, value, done, said):
    driver = Driver(tmp_path)
    found = driver.asked(what, value)
    assert (found.done, found.text[: len(said)]) == (done, said)
    assert driver.stopped == ([3] if (what, value) == ("stop-trial", "3") else [])
    assert driver.raised == ([(15, 15)] if what == "add-trials" else [])
    assert driver.limits.paused is (what == "pause")
    assert not list((tmp_path / FOLDER).iterdir()), "an answered request is gone"
    assert driver.said == [f"request: {found.line()}"]


def test_added_trials_are_in_the_study_and_add_up(tmp_path):
    driver = Driver(tmp_path)
    driver.asked("add-trials", "5")
    assert driver.asked("add-trials", "2").total == 17 == driver.limits.trials
    assert json.loads((tmp_path / STUDY_FILE).read_text())["study"]["budget"]["trials"] == 17
    assert raised(Budget(trials=10), standing(answers(tmp_path)).total).trials == 17
    assert raised(Budget(trials=30), 17).trials == 30


def test_a_list_of_recipes_takes_no_further_trials(tmp_path):
    recipes = tuple({"mono_ratio": i / 10} for i in range(4))
    driver = Driver(tmp_path, recipes=recipes, trials=4, baselines="none")
    found = driver.asked("add-trials", "5")
    assert not found.done and found.text.startswith("`budget.recipes` lists all recipes")
    assert (
        Driver(tmp_path, recipes=recipes, trials=9, baselines="none").asked("add-trials", "5").done
    ), "the search suggests the others"


@pytest.mark.parametrize(
    "budget, ceiling", [(Budget(settle=0.9), 30), (Budget(settle=0.9, ceiling=40), 40)]
)
def test_with_settle_it_is_the_limit_on_all_trials(budget, ceiling):
    assert (raised(budget, 30).trials, raised(budget, 30).ceiling) == (14, ceiling)


@pytest.mark.parametrize("why", ["closed", "enough", "stopped"])
def test_a_sweep_that_ends_adds_nothing(tmp_path, why):
    driver = Driver(tmp_path)
    setattr(driver.limits, why, True)
    for what, value in (("add-trials", "1"), ("time-limit", "1h")):
        found = driver.asked(what, value)
        assert not found.done and found.text.startswith("the sweep is ending")


def test_what_holds_for_the_next_start(tmp_path):
    driver = Driver(tmp_path)
    for what, value in (
        ("pause", None),
        ("stop-trial", "3"),
        ("stop-trial", "4"),
        ("time-limit", "2h"),
    ):
        assert driver.asked(what, value).done
    write_record(tmp_path, make_record(4))
    again = Driver(tmp_path)
    again.controls.start()
    again.controls.stop()
    assert again.limits.paused and again.stopped == [3] == to_stop(
        tmp_path, standing(answers(tmp_path))
    )
    assert 7190 < again.limits.until - time.monotonic() <= 7200
    assert any(line.startswith("paused since") for line in again.said)
    driver.asked("resume")
    assert standing(answers(tmp_path)).paused_since is None


def test_a_limit_that_is_over_does_not_hold_and_an_earlier_one_of_the_command_does(tmp_path):
    driver = Driver(tmp_path)
    old = Request(id="1", what="time-limit", value=60, asked=time.time() - 100)
    line = Answer(request=old, done=True, text="", answered=1.0).model_dump_json()
    (tmp_path / LOG).write_text(line + "\n{\n")
    driver.controls.start()
    driver.controls.stop()
    assert driver.limits.until is None, "damaged lines are left out, too"
    driver.asked("time-limit", "2h")
    again = Driver(tmp_path)
    again.limits.until = soon = time.monotonic() + 60
    again.controls.start()
    again.controls.stop()
    assert again.limits.until == soon


def test_files_that_are_no_requests_and_requests_of_a_killed_sweep(tmp_path):
    driver = Driver(tmp_path)
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "0.json").write_text("{")
    ask(tmp_path, request_of("pause", None))
    ((path, _),) = claimed(tmp_path)
    assert path.exists() and [p.name for p in (tmp_path / FOLDER).iterdir()] == [path.name]
    driver.controls.look()
    assert driver.limits.paused and not path.exists()
    path.write_text(answers(tmp_path)[-1].request.model_dump_json())
    driver.controls.look()
    assert len(answers(tmp_path)) == 1, "what was answered is not done again"


def test_a_request_can_be_withdrawn_until_it_is_claimed(tmp_path):
    request = request_of("pause", None)
    ask(tmp_path, request)
    assert withdraw(tmp_path, request) and claimed(tmp_path) == []
    ask(tmp_path, request)
    assert len(claimed(tmp_path)) == 1 and not withdraw(tmp_path, request)


@pytest.mark.parametrize(
    "text, seconds",
    [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("30min", 1800), ("0.5h", 1800), ("off", None)],
)
def test_times(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "0h", "-1h", "h", "2h!", "9999999h", "nan", "1m1h"])
def test_times_that_are_none(text):
    with pytest.raises(ConfigError, match="time-limit: expected a time such as"):
        seconds_of(text)


@pytest.mark.parametrize(
    "what, value",
    [
        ("pause", "1"),
        ("stop-trial", None),
        ("stop-trial", "x"),
        ("add-trials", "0"),
        ("explode", "1"),
    ],
)
def test_requests_that_are_none(what, value):
    with pytest.raises(ConfigError):
        request_of(what, value)


def test_a_request_is_shown_as_it_was_asked():
    asked = [request_of("stop-trial", v).text() for v in ("base", "7")]
    assert asked == ["stop-trial base", "stop-trial 7"]


def test_the_command_where_no_sweep_runs(run_dir, capsys):  # noqa: F811
    assert run("control", run_dir, "add-trials", "5") == 2
    said = capsys.readouterr().err
    assert "no sweep is running there; give the sweep's command a larger --trials" in said
    assert not (run_dir / FOLDER).exists()


def test_the_command_and_what_status_says_of_it(run_dir, capsys, monkeypatch):  # noqa: F811
    monkeypatch.setattr(control, "PATIENCE", 0.3)
    with locked(run_dir):
        with pytest.raises(RunError, match="the request was withdrawn"):
            ask_sweep(run_dir, request_of("pause", None), 0.3)
        assert not list((run_dir / FOLDER).iterdir())
        kept = (run_dir / STUDY_FILE).read_text()
        driver = Driver(run_dir)
        (run_dir / STUDY_FILE).write_text(kept)
        threading.Thread(target=lambda: driver.controls.start(), daemon=True).start()
        assert run("control", run_dir, "pause") == 0
        assert capsys.readouterr().out.startswith("pause: no new trial starts until")
        assert run("control", run_dir, "pause") == 2
        assert "not done: the sweep is paused already" in capsys.readouterr().err
        run("status", run_dir)
        said = capsys.readouterr().out
        driver.controls.stop()
    assert "\npaused since " in said and said.count("\nrequest: ") == 2


def test_a_paused_sweep_starts_nothing_and_goes_on(tmp_path, cluster):  # noqa: F811
    sweep = begun(tmp_path, trials=2)
    one, _ = sweep.ask()
    sweep.limits.paused = True
    assert sweep.ask() is None
    sweep.end(one, make_record(0, 0.5, 0.5))
    assert sweep.ask() is None and not sweep.limits.closed
    sweep.limits.paused = False
    two, job = sweep.ask()
    sweep.limits.paused = True
    sweep.end(two, make_record(job.number, 0.5, 0.5))
    assert sweep.ask() == FINISHED and sweep.limits.closed, "nothing is left to wait for"


def test_trials_are_added_while_the_last_ones_run(tmp_path, cluster):  # noqa: F811
    sweep = begun(tmp_path, trials=1)
    assert sweep.ask()[1].number == 0
    assert sweep.ask() is None
    sweep.limits.trials = 2
    sweep.ledger.ending.raise_budget(Budget(trials=2))
    assert sweep.ask()[1].number == 1


def test_a_stopped_trial_is_recorded_and_never_comes_again(tmp_path):
    ledger = ledger_in(tmp_path)
    job = ledger.next(3)
    record = stopped_record(job, (16, 64), {"total": 9.0})
    assert (record.state, record.reason) == ("stopped", "stopped by the user at step 16 of 64")
    write_record(tmp_path, record.model_copy(update={"rungs": make_pruned(0).rungs}))
    assert ledger.tell(job.number).state == "stopped" and ledger.finished == 1
    assert states_in(tmp_path)[job.number].name == "PRUNED"
    assert ledger_in(tmp_path).next(3).number != job.number
    assert read_records(tmp_path).trials[0].state == "stopped" and study_of().objectives


def test_the_progress_actor_ends_one_trial_alone():
    actor = ProgressActor()
    actor.update(3, {"state": "training", "step": 16, "steps": 64, "loss": 2.0})
    actor.update(4, {"state": "starting"})
    assert actor.ended_at(3) is None and not actor.stopping(1, 3)
    actor.end_trial(3)
    actor.update(3, {"state": "evaluating"})
    assert actor.ended_at(3) == (16, 64) and actor.stopping(1, 3) and not actor.stopping(2, 4)
    actor.end_trial(4)
    assert actor.ended_at(4) == (0, 0)


def test_a_progress_actor_that_was_started_again_ends_the_same_trials(tmp_path):
    driver = Driver(tmp_path)
    driver.asked("stop-trial", "3")
    actor = ProgressActor()
    actor.restore({}, False, driver.controls.to_end())
    assert actor.stopping(1, 3) and actor.ended_at(3) == (0, 0) and not actor.stopping(2, 4)
    again = Driver(tmp_path)
    again.controls.start()
    again.controls.stop()
    assert again.controls.to_end() == {3}, "one of an earlier start, too"


def test_a_request_is_done_once_where_its_answer_cannot_be_written(tmp_path, monkeypatch):
    driver = Driver(tmp_path)
    ask(tmp_path, request_of("add-trials", "5"))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(controls, "answer", full)
        for _ in range(3):
            with pytest.raises(OSError, match="No space"):
                driver.controls.look()
    driver.controls.look()
    assert driver.limits.trials == 15 == answers(tmp_path)[0].total
    assert len(answers(tmp_path)) == 1 and not list((tmp_path / FOLDER).iterdir())


def test_an_answer_after_a_line_that_was_cut_off_is_kept(tmp_path):
    driver = Driver(tmp_path)
    driver.asked("pause")
    with open(tmp_path / LOG, "a") as file:
        file.write('{"request": {"id": "')
    assert driver.asked("resume").done
    assert [found.request.what for found in answers(tmp_path)] == ["pause", "resume"]


def test_a_folder_among_the_requests_holds_up_none(tmp_path):
    (tmp_path / FOLDER / "0.json").mkdir(parents=True)
    assert Driver(tmp_path).asked("pause").done


@pytest.mark.parametrize("asked, done", [(0, True), (100, False)])
def test_what_nobody_waits_for_any_more_is_not_done(tmp_path, asked, done):
    request = request_of("pause", None)
    ask(tmp_path, request.model_copy(update={"asked": time.time() - asked}))
    driver = Driver(tmp_path)
    driver.controls.start()
    while not answers(tmp_path):
        time.sleep(0.05)
    driver.controls.stop()
    assert answers(tmp_path)[0].done is driver.limits.paused is done


@pytest.mark.parametrize("asked", ["1e30", "NaN", "-1"])
def test_a_time_that_no_clock_shows_is_no_request(tmp_path, asked):
    text = request_of("pause", None).model_dump_json()
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "0.json").write_text(re.sub(r'"asked":[^,]+', f'"asked":{asked}', text))
    driver = Driver(tmp_path)
    driver.controls.look()
    assert not driver.limits.paused and not answers(tmp_path)


def test_ctrl_c_leaves_no_request(run_dir, monkeypatch):  # noqa: F811
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(control.time, "sleep", interrupted)
    with locked(run_dir), pytest.raises(KeyboardInterrupt):
        ask_sweep(run_dir, request_of("pause", None))
    assert not list((run_dir / FOLDER).iterdir())
