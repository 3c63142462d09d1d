"""What a running sweep does now: the file that it keeps, and what `status` says of it."""

import time
from types import SimpleNamespace

import pytest
from records_factory import make_failed, make_record, make_study
from rich.console import Console

from mtray.cli import main
from mtray.search.execution.console import LiveTable
from mtray.search.ledger import live_progress
from mtray.search.ledger.live_progress import (
    FILE,
    STALE,
    LiveProgress,
    RunningTrial,
    read_progress,
    remove_progress,
    running_trial,
    write_progress,
)
from mtray.search.ledger.run_folder import bind, locked
from mtray.search_space.parameters import FloatRange
from mtray.search_space.space import Space
from mtray.trial.job import Job

SPACE = Space(
    parameters={"mono_ratio": FloatRange(type="float", low=0, high=2)}, fixed={"parallel_size": 9}
)
TRAINING = {
    "state": "training", "since": 100.0, "step": 1200, "steps": 4000, "tokens_per_second": 5210.4,
    "loss": 1.23449, "learning_rate": 1e-3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("number", "entry", "text"),
    [
        (3, {}, "trial 3: starting"),
        (-1, {"state": "generating", "since": 120.0, "step": 3, "steps": 192},
         "trial base: generating, step 3 of 192, for 11 s"),
        (3, TRAINING,
         "trial 3: training, step 1,200 of 4,000, 5,210 tokens/s, loss 1.234, for 31 s"),
        (3, {"state": "scoring", "since": 140.0}, "trial 3: scoring, for 0 s"),  # another clock
    ],
)  # fmt: skip
def test_a_line_by_hand(number, entry, text):
    assert running_trial(number, entry).text(131.0) == text


def test_what_is_written_is_read_until_it_is_old(tmp_path):
    found = LiveProgress(
        written=1000.0, finished=3, total=9, seconds_left=61.5, trials=(running_trial(3, TRAINING),)
    )
    assert read_progress(tmp_path, 1000.0) is None
    write_progress(tmp_path, found)
    assert [p.name for p in tmp_path.iterdir()] == [FILE]
    assert read_progress(tmp_path, 1000.0 + STALE - 1) == found
    assert read_progress(tmp_path, 1000.0 + STALE) is None
    remove_progress(tmp_path)
    remove_progress(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"written": "x"}'])
def test_a_file_that_says_nothing(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    assert read_progress(tmp_path, 0.0) is None


def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path):
    write_progress(tmp_path / "none", LiveProgress(written=0.0, finished=0, total=1))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def run_dir(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / ".lock").touch()
    bind(folder, make_study(), SPACE)
    return folder


def test_status_says_what_each_trial_does_while_a_sweep_runs(run_dir, capsys):
    trials = (RunningTrial(number=-1), running_trial(3, {**TRAINING, "since": time.time() - 31.0}))
    found = LiveProgress(
        written=time.time(), finished=0, total=9, seconds_left=184.0, trials=trials
    )
    write_progress(run_dir, found)
    with locked(run_dir):
        assert main(["status", str(run_dir)]) == 0
    out = capsys.readouterr().out
    assert "running: trial base: starting\n" in out
    assert (
        "running: trial 3: training, step 1,200 of 4,000, 5,210 tokens/s, loss 1.234, for 3" in out
    )
    assert "about 3m04s left\n" in out
    main(["status", str(run_dir)])
    assert "running: trial" not in capsys.readouterr().out, "the sweep was killed"


class Clock:
    def __init__(self, monkeypatch):
        self.now = 50.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def test_time_left_from_the_mean_pace_and_none_where_it_ends(monkeypatch):
    clock, ending = Clock(monkeypatch), []
    out = Console(file=SimpleNamespace(write=lambda t: None, flush=lambda: None, isatty=lambda: 0))
    table = LiveTable(out, total=9, finished=3, concurrent=2, ending=lambda: bool(ending))
    table.started(Job(3, "search", make_record(3).recipe, 1))
    table.started(Job(4, "search", make_record(4).recipe, 1))
    assert table.progress().seconds_left is None, "nothing has finished"
    clock.now += 20.0
    table.ended(make_record(3))
    found = table.progress()
    assert (found.finished, found.total, found.seconds_left) == (4, 9, 100.0)
    assert [t.number for t in found.trials] == [4]
    ending.append("stopped")
    assert table.progress().seconds_left is None


def printed(monkeypatch):
    """A table, and the lines that it prints."""
    out = Console(file=SimpleNamespace(write=lambda t: None, flush=lambda: None, isatty=lambda: 0))
    table, lines = LiveTable(out, 9, 0, 1), []
    monkeypatch.setattr(table, "say", lines.append)
    return table, lines


def test_a_trial_that_tries_again_says_so_once(monkeypatch):
    table, lines = printed(monkeypatch)
    for text in ("lost on b", "lost on b", "lost on c"):
        table._snapshot = {3: {"state": "training", "retry": text}, 4: {}}
        table.say_retries()
    assert [line.partition(" ")[2] for line in lines] == [
        "trial 3 tries again: lost on b", "trial 3 tries again: lost on c",
    ]  # fmt: skip


def test_a_failed_trial_names_its_workers_and_their_logs(monkeypatch):
    table, lines = printed(monkeypatch)
    place = {"rank": 1, "host": "b (10.0.0.2)", "process": 7, "time": "now", "log": "/x.log"}
    failed = make_failed(3)
    table.ended(failed.model_copy(update={"extra": {"workers": [place]}}))
    assert f"FAILED {failed.reason}; worker 1 on b (10.0.0.2), process 7: /x.log" in lines[0]
    table.ended(failed)
    assert "worker" not in lines[1]


def test_a_sweep_publishes_from_its_start_to_its_end(monkeypatch):
    monkeypatch.setattr("mtray.search.execution.console.EVERY", 0.01)
    published = []
    out = Console(file=SimpleNamespace(write=lambda t: None, flush=lambda: None, isatty=lambda: 0))
    table = LiveTable(out, 9, 0, 1, published.append)
    snapshot = {3: TRAINING}
    monkeypatch.setattr(table, "_look", lambda: setattr(table, "_snapshot", snapshot))
    table.started(Job(3, "search", make_record(3).recipe, 1))
    table.start(None)
    until = time.monotonic() + 20
    while len(published) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    table.stop()
    assert published[0].trials == (RunningTrial(number=3),)
    assert published[-1].trials == (live_progress.running_trial(3, TRAINING),)


@pytest.mark.parametrize("running, points", [(1, 200), (64, 200), (65, 100), (512, 25)])
def test_of_many_running_trials_fewer_points_are_written(running, points):
    entry = {"curve": [(step, 1.0) for step in range(200)]}
    found = running_trial(3, entry, running).curve
    assert len(found) == points and found[-1] == (199, 1.0)
    assert running_trial(3, {}, running).curve == ()
