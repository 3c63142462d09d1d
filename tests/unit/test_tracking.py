"""What is sent to a tracker of a run's records, and that it is sent once, whatever is killed."""

import argparse
import json
import time
from typing import get_args

import pytest
from records_factory import make_study
from tracking_factory import RECIPE, STOPPED, complete, expected, make_run, pruned, trained

from mtray.errors import ConfigError, RunError
from mtray.report.records import read_records, write_record
from mtray.schema import State
from mtray.search.ledger.run_folder import load_bound
from mtray.tracking import trackers
from mtray.tracking.contents import learning_rates, sweep_run, trial_run
from mtray.tracking.mlflow_runs import status_of
from mtray.tracking.sender import RETRY, Sender, error_text
from mtray.tracking.sent_runs import FILE, read_sent, sending
from mtray.tracking.tracker_address import place_name, without_credentials
from mtray.tracking.trackers import check_trackers, chosen, tracker_names


class Killed(BaseException):
    """The process of the sender ends here."""


class Server:
    """What a tracker holds: runs by id."""

    def __init__(self):
        self.runs = {}

    def held(self):
        """By the run's name, in the form of `expected`."""
        return {
            run["name"]: {
                "parent": self.runs[run["parent"]]["name"] if run["parent"] else None,
                "state": run["state"], "parameters": run["parameters"], "values": run["values"],
                "series": run["series"], "files": sorted(run["files"]),
            }
            for run in self.runs.values()
        }  # fmt: skip


class Recording:
    """A tracker that keeps what it is sent on a `server`, and writes down its calls. With
    `fails_at`, its call of this number raises `error`, before or after it has had its effect."""

    place, address = "there", "there"

    def __init__(self, server, fails_at=None, after=False, error=Killed):
        self.server, self.calls = server, []
        self._fails_at, self._after, self._error = fails_at, after, error

    def _call(self, name, effect):
        fails = self._fails_at == len(self.calls)
        self.calls.append(name)
        if fails and not self._after:
            raise self._error(name)
        result = effect()
        if fails:
            raise self._error(name)
        return result

    def _open(self, run, parent):
        for run_id, known in self.server.runs.items():
            if known["key"] == run.key:
                return run_id
        run_id = f"id{len(self.server.runs)}"
        self.server.runs[run_id] = {
            "key": run.key, "name": run.name, "parent": parent, "state": "open", "parameters": {},
            "values": {}, "notes": {}, "series": {}, "files": {},
        }  # fmt: skip
        return run_id

    def open_parent(self, run):
        return self._call("open_parent", lambda: self._open(run, None))

    def open_child(self, run, parent):
        return self._call("open_child", lambda: self._open(run, parent))

    def log_parameters(self, run_id, parameters):
        self._call("parameters", lambda: self.server.runs[run_id]["parameters"].update(parameters))

    def log_values(self, run_id, values, notes):
        def effect():
            self.server.runs[run_id]["values"].update(values)
            self.server.runs[run_id]["notes"].update(notes)

        self._call("values", effect)

    def log_series(self, run_id, series):
        def effect():
            for name, points in series.items():
                known = self.server.runs[run_id]["series"].setdefault(name, [])
                steps = {step for step, _ in known}
                known.extend(point for point in points if point[0] not in steps)

        self._call("series", effect)

    def attach(self, run_id, files):
        found = {path.name: path.read_bytes() for path in files}
        self._call("attach", lambda: self.server.runs[run_id]["files"].update(found))

    def close(self, run_id, state):
        self._call("close", lambda: self.server.runs[run_id].update(state=state))


@pytest.fixture
def run_dir(tmp_path):
    return make_run(tmp_path / "mine")


def sender(run_dir, *opened, said=None):
    """A sender as a new process has one."""
    named = {f"t{place}": lambda tracker=tracker: tracker for place, tracker in enumerate(opened)}
    return Sender(run_dir, named, (said if said is not None else []).append)


def should_hold(run_dir, running=False):
    """What any tracker must hold of the run."""
    study, records = load_bound(run_dir)[0], read_records(run_dir).records
    sweep = sweep_run("k", run_dir, study, records, running)
    trials = [trial_run("k", study, record) for record in records]
    found = {sweep.name: expected(sweep, None)}
    return found | {trial.name: expected(trial, sweep.name) for trial in trials}


def test_all_of_a_run_by_hand(run_dir):
    write_record(run_dir, STOPPED)
    server = Server()
    sender(run_dir, Recording(server)).once(running=False)
    assert server.held() == should_hold(run_dir)
    sweep, first, cut, failed = (
        server.held()[n] for n in ("mine", "trial 1", "trial 2", "trial 3")
    )
    assert sweep["files"] == ["front.csv", "front.html", "front.png"]
    assert sweep["values"] == {
        "trials.planned": 14,
        "trials.complete": 2, "trials.pruned": 1, "trials.stopped": 1, "trials.infeasible": 0,
        "trials.failed": 1,
    }  # fmt: skip
    assert first["parent"] == "mine" and first["parameters"]["learning_rate"] == 1e-3
    assert first["series"]["loss"] == [(2, 3.875), (4, 3.75), (6, 3.625), (8, 3.5)]
    assert [step for step, _ in first["series"]["learning_rate"]] == [2, 4, 6, 8]
    assert first["values"]["quality"] == 0.6 and first["values"]["quality_low"] == 0.59
    assert cut["state"] == "pruned" and cut["series"]["rung.quality"] == [(4, 0.5)]
    assert "quality" not in cut["values"]
    assert failed["state"] == "failed" and failed["series"] == {}
    assert server.held()["trial 4"]["state"] == "stopped"
    notes = {run["name"]: run["notes"] for run in server.runs.values()}
    assert notes["trial 3"]["reason"].startswith("TrainError: loss is not finite")


def test_sending_again_sends_nothing(run_dir):
    server = Server()
    sender(run_dir, Recording(server)).once(running=False)
    again = Recording(server)
    later = sender(run_dir, again)
    later.once(running=False)
    assert again.calls == ["open_parent"] and later.destinations[0].new == 0
    later.once(running=False)
    assert again.calls == ["open_parent"], "nothing has changed since"


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_call_leaves_neither_a_gap_nor_a_double(tmp_path, after):
    counting = Recording(Server())
    sender(make_run(tmp_path / "whole" / "mine"), counting).once(running=False)
    assert len(counting.calls) > 30
    for call in range(len(counting.calls)):
        run_dir, server = make_run(tmp_path / str(call) / "mine"), Server()
        with pytest.raises(Killed):
            sender(run_dir, Recording(server, call, after)).once(running=False)
        sender(run_dir, Recording(server)).once(running=False)
        assert server.held() == should_hold(run_dir), counting.calls[call]


def test_a_resumed_run_is_continued(run_dir):
    server = Server()
    sender(run_dir, Recording(server)).once(running=False)
    write_record(run_dir, complete(4))
    (run_dir / "front.csv").write_text("number\n0\n4\n")
    later = Recording(server)
    sender(run_dir, later).once(running=False)
    assert later.calls.count("open_child") == 1 and later.calls.count("series") == 2
    assert server.held() == should_hold(run_dir) and len(server.runs) == 7
    assert server.runs["id0"]["files"]["front.csv"] == b"number\n0\n4\n"


def test_a_changed_record_is_sent_again(run_dir):
    server = Server()
    sender(run_dir, Recording(server)).once(running=False)
    write_record(run_dir, complete(1, quality=0.7))
    later = Recording(server)
    sender(run_dir, later).once(running=False)
    assert later.calls.count("open_child") == 1
    assert server.held()["trial 1"]["values"]["quality"] == 0.7


def test_beside_a_sweep_the_run_stays_open_until_its_end(run_dir):
    server = Server()
    tracker = Recording(server)
    beside = sender(run_dir, tracker)
    beside.once(running=True)
    assert server.held()["mine"]["state"] == "running"
    calls = len(tracker.calls)
    beside.once(running=True)
    assert len(tracker.calls) == calls, "nothing new"
    write_record(run_dir, complete(4))
    beside.once(running=True)
    assert tracker.calls[calls:].count("open_child") == 1
    beside.once(running=False)
    assert server.held() == should_hold(run_dir)


def test_what_was_deleted_there_is_sent_again(run_dir):
    sender(run_dir, Recording(Server())).once(running=False)
    other = Server()
    other.runs["taken"] = {"key": "", "name": "x", "parent": None} | dict.fromkeys(
        ("state", "parameters", "values", "series"), None
    ) | {"files": {}}  # fmt: skip
    sender(run_dir, Recording(other)).once(running=False)
    del other.runs["taken"]
    assert other.held() == should_hold(run_dir)


def test_a_tracker_that_cannot_be_reached_is_said_once_and_tried_again(run_dir, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    server, good, said = Server(), Server(), []
    down = Recording(server, 3, error=lambda text: ConnectionError(f"http://u:pw@host/ {text}"))
    beside = sender(run_dir, down, Recording(good), said=said)
    beside.once(running=True)
    assert good.held() == should_hold(run_dir, running=True), "the other one has all"
    assert "ConnectionError" in said[1] and "pw" not in said[1] and "tried again" in said[1]
    beside.once(running=True)
    assert len(down.calls) == 4, "not at once"
    down._fails_at = len(down.calls)
    now[0] += RETRY
    beside.once(running=True)
    assert len(said) == 3, "said once"
    now[0] += RETRY
    beside.once(running=True)
    assert "reached again" in said[3]
    beside.once(running=False)
    assert server.held() == good.held() == should_hold(run_dir)


def test_what_is_missing_at_the_end(run_dir):
    down = Recording(Server(), 6, error=OSError)
    beside = sender(run_dir, down)
    beside.once(running=False)
    place = beside.destinations[0]
    assert place.error == "OSError: close"
    assert beside.missing(place) == "trials base, 0, 1, 2, 3"


def test_a_package_that_fails_to_open_harms_nothing(run_dir):
    def broken():
        raise ImportError("no such symbol")

    said = []
    beside = Sender(run_dir, {"x": broken}, said.append)
    beside.once(running=True)
    assert "ImportError: no such symbol" in said[0]


def test_the_file_holds_ids_and_no_address(run_dir):
    tracker = Recording(Server())
    tracker.place = "https://me:secret@mlflow.example:5000"
    sender(run_dir, tracker).once(running=False)
    text = (run_dir / FILE).read_text()
    assert "mlflow.example" not in text and "secret" not in text
    (place,) = json.loads(text)["places"].values()
    assert place["id"] == "id0" and sorted(place["children"]) == ["-1", "0", "1", "2", "3"]


def test_a_damaged_file_is_named(run_dir):
    (run_dir / FILE).write_text("{")
    with pytest.raises(RunError, match=r"tracking\.json: .*delete it to send the whole run again"):
        read_sent(run_dir)


def test_one_process_sends_at_a_time(run_dir):
    with (
        sending(run_dir),
        pytest.raises(RunError, match="is being sent by process"),
        sending(run_dir),
    ):
        pass


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:pass@host:80/x", "https://host:80/x"),
        ("postgresql://u:p@host/db?password=p and more", "postgresql://host/db and more"),
        ("sqlite:////tmp/x.db", "sqlite:////tmp/x.db"),
        ("a@b", "a@b"),
    ],
)
def test_addresses_without_credentials(text, shown):
    assert without_credentials(text) == shown
    assert error_text(ValueError(text)) == f"ValueError: {shown}"


def test_names_of_places_differ():
    assert place_name("mlflow", "a") != place_name("mlflow", "b") != place_name("wandb", "b")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["mlflow"], ("mlflow",)),
        (["tensorboard, wandb", "mlflow,wandb"], ("tensorboard", "wandb", "mlflow")),
        ([], ()),
    ],
)
def test_names_of_trackers(given, names):
    assert chosen([tracker_names(text) for text in given]) == names


@pytest.mark.parametrize("text", ["tensorbord", "mlflow,x", "", ","])
def test_a_name_that_is_no_tracker(text):
    with pytest.raises(argparse.ArgumentTypeError, match="tensorboard, mlflow, wandb"):
        tracker_names(text)


def test_a_missing_package_is_named_with_the_command(monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None if name == "wandb" else object())
    check_trackers(["mlflow"], "--track", "http://host")
    with pytest.raises(ConfigError, match=r"--track wandb: .*-m pip install 'wandb>="):
        check_trackers(["mlflow", "wandb"], "--track")
    with pytest.raises(ConfigError, match="--mlflow-uri: needs --track mlflow"):
        check_trackers(["wandb"], "--track", "http://host")


RATES = {
    "whole": (complete(1), 4),
    "pruned": (pruned(2), 2),
    "stopped": (
        complete(1, recipe=RECIPE.model_copy(update={"stop_after": 0.5}), training=trained(4, 7)), 2
    ),
    "of another rule": (complete(1, training=trained(8, accumulated_learning_rate=0.1)), 0),
    "the base model": (complete(1, training=None), 0),
}  # fmt: skip


@pytest.mark.parametrize("case", RATES)
def test_learning_rates_add_up_to_what_was_recorded(case):
    record, points = RATES[case]
    found = learning_rates(record, make_study())
    loss = record.training.loss if record.training else ()
    assert [step for step, _ in found] == [step for step, _ in loss][:points]


def test_mlflow_status_of_every_state() -> None:
    found = {state: status_of(state) for state in get_args(State)}
    assert found == {
        "complete": "FINISHED", "pruned": "KILLED", "stopped": "KILLED", "infeasible": "FAILED",
        "failed": "FAILED",
    }  # fmt: skip
