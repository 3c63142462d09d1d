"""What the real packages hold after a sending, an interrupted one, and one in two parts."""

import importlib.util
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_tracking import Killed, should_hold
from tracking_factory import complete, framed, make_run, wandb_records

from mtray.paths import own_code
from mtray.report.records import read_records, write_record
from mtray.run_files import STUDY_FILE
from mtray.track_process import tracked_beside
from mtray.tracking.sender import Sender
from mtray.tracking.sent_runs import FILE
from mtray.tracking.tensorboard_files import tag_of
from mtray.tracking.tracked_run import rows_by_step
from mtray.tracking.trackers import PACKAGES, open_tracker


@pytest.fixture(params=PACKAGES)
def name(request, monkeypatch, tmp_path):
    """A tracker whose package is installed, set to a place in the test's folder."""
    module = PACKAGES[request.param].module
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"needs the package {module}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb-data"))
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    monkeypatch.chdir(tmp_path)  # MLflow's default place of artifacts
    return request.param


def once(name, run_dir, wrapped=lambda tracker: tracker):
    said = []
    sender = Sender(run_dir, {name: lambda: wrapped(open_tracker(name, run_dir))}, said.append)
    sender.once(running=False)
    assert [place.error for place in sender.destinations] == [""], said


def of_tensorboard(run_dir):
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for folder in (run_dir / "tensorboard").iterdir():
        if not folder.is_dir():
            continue
        assert not folder.name.startswith((".new", ".old"))
        run = found[folder.name.replace("-", " ")] = {"points": [], "texts": {}, "tags": set()}
        for file in folder.glob("events.*"):
            for content in framed(file.read_bytes()):
                event = Event.FromString(content)
                for value in event.summary.value:
                    run["tags"].add(value.tag)
                    if value.WhichOneof("value") == "simple_value":
                        run["points"].append((value.tag, event.step, round(value.simple_value, 5)))
                    elif value.tensor.string_val:
                        run["texts"][value.tag] = value.tensor.string_val[0].decode().strip()
    return found


def check_tensorboard(run_dir):
    found, wanted = of_tensorboard(run_dir), should_hold(run_dir)
    wanted["sweep"] = wanted.pop(run_dir.name)
    assert found.keys() == wanted.keys()
    for run, held in found.items():
        points = [(tag_of(n), step, v) for n, p in wanted[run]["series"].items() for step, v in p]
        points += [
            (n if n in ("quality", "retention") else tag_of(n), 0, v)
            for n, v in wanted[run]["values"].items()
        ]
        assert sorted(held["points"]) == sorted((t, s, round(v, 5)) for t, s, v in points)
        assert held["texts"]["state/text_summary"] == wanted[run]["state"]
        assert "_hparams_/session_start_info" in held["tags"]
    assert "front" in found["sweep"]["tags"], "the picture"


def check_mlflow(run_dir):
    import mlflow
    from mlflow.tracking import MlflowClient

    client = MlflowClient(mlflow.get_tracking_uri())
    experiment = client.get_experiment_by_name("mtray").experiment_id
    runs = client.search_runs([experiment])
    names = {run.info.run_id: run.info.run_name for run in runs}
    wanted = should_hold(run_dir)
    assert sorted(names.values()) == sorted(wanted), "each once"
    statuses = {"complete": "FINISHED", "pruned": "KILLED", "stopped": "KILLED", "failed": "FAILED"}
    for run in runs:
        want = wanted[run.info.run_name]
        assert run.data.params == {n: str(v) for n, v in want["parameters"].items()}
        assert names.get(run.data.tags.get("mlflow.parentRunId")) == want["parent"]
        assert run.data.tags["mtray.state"] == want["state"]
        assert run.info.status == statuses[want["state"]]
        last = {n: points[-1][1] for n, points in want["series"].items()}
        assert run.data.metrics == want["values"] | last
        for series, points in want["series"].items():
            history = client.get_metric_history(run.info.run_id, series)
            assert [(m.step, m.value) for m in history] == [tuple(point) for point in points]
        for value in want["values"]:  # of the sweep, counts that have changed
            history = client.get_metric_history(run.info.run_id, value)
            assert len(history) == 1 or want["parent"] is None
        files = [file.path for file in client.list_artifacts(run.info.run_id)]
        assert sorted(files) == want["files"]


def of_wandb(folder):
    """One offline run."""
    import json

    (file,) = folder.glob("*.wandb")
    found = {"rows": [], "summary": {}, "artifacts": [], "exit": None}
    for record in wandb_records(file):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found["name"], found["group"] = record.run.display_name, record.run.run_group
            found["job"], found["tags"] = record.run.job_type, list(record.run.tags)
            config = {item.key: json.loads(item.value_json) for item in record.run.config.update}
            found["config"] = {n: v for n, v in config.items() if n != "_wandb"}
        elif kind == "history":
            items = {
                "/".join([*item.nested_key] or [item.key]): json.loads(item.value_json)
                for item in record.history.item
            }
            for clock in ("_timestamp", "_runtime"):
                items.pop(clock, None)
            found["rows"].append(items)
        elif kind == "summary":
            for item in record.summary.update:
                key = "/".join([*item.nested_key] or [item.key])
                found["summary"][key] = json.loads(item.value_json)
        elif kind == "artifact":
            found["artifacts"] += [entry.path for entry in record.artifact.manifest.contents]
        elif kind == "exit":
            found["exit"] = record.exit.exit_code
    return found


def check_wandb(run_dir):
    held = [of_wandb(folder) for folder in (run_dir / "wandb" / "wandb").glob("offline-run-*")]
    wanted = should_hold(run_dir)
    assert sorted(run["name"] for run in held) == sorted(wanted), "each once"
    for run in held:
        want = wanted[run["name"]]
        assert run["group"] == run_dir.name and run["tags"] == [want["state"]]
        assert run["job"] == ("trial" if want["parent"] else "sweep")
        assert run["config"] == want["parameters"]
        rows = [{"_step": step, **values} for step, values in rows_by_step(want["series"])]
        assert run["rows"] == rows
        assert want["values"].items() <= run["summary"].items()
        assert run["exit"] == (want["state"] == "failed")
        assert sorted(run["artifacts"]) == want["files"]


CHECKS = {"tensorboard": check_tensorboard, "mlflow": check_mlflow, "wandb": check_wandb}


def test_a_run_is_sent_and_continued(name, tmp_path):
    run_dir = make_run(tmp_path / "mine")
    once(name, run_dir)
    CHECKS[name](run_dir)
    once(name, run_dir)
    write_record(run_dir, complete(4))
    once(name, run_dir)
    CHECKS[name](run_dir)


class Dying:
    """A tracker whose process dies at a call of this number, after its effect."""

    def __init__(self, tracker, at):
        self._tracker, self._at = tracker, at
        self.place, self.address = tracker.place, tracker.address

    def __getattr__(self, name):
        method = getattr(self._tracker, name)

        def call(*arguments):
            self._at -= 1
            result = method(*arguments)
            if self._at < 0:
                raise Killed(name)
            return result

        return call


@pytest.mark.parametrize("at", [0, 8, 15, 17, 18, 36])
def test_a_crash_between_two_calls(name, tmp_path, at):
    run_dir = make_run(tmp_path / "mine")
    with pytest.raises(Killed):
        once(name, run_dir, lambda tracker: Dying(tracker, at))
    once(name, run_dir)
    CHECKS[name](run_dir)


def test_a_sender_that_is_killed(name, tmp_path, monkeypatch):
    run_dir = make_run(tmp_path / "mine")
    for number in range(4, 9):
        write_record(run_dir, complete(number))
    for variable, value in own_code().items():
        monkeypatch.setenv(variable, value)
    command = [sys.executable, "-m", "mtray", "track", str(run_dir), "--to", name]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    noted = run_dir / FILE
    while process.poll() is None and not (noted.is_file() and '"0": {' in noted.read_text()):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was killed in the middle"
    assert '"8": {' not in noted.read_text()
    once(name, run_dir)
    CHECKS[name](run_dir)


def test_beside_a_sweep(name, tmp_path):
    """From before the run folder has a study to the front at the end, by a process of its own."""
    whole = make_run(tmp_path / "whole" / "mine")
    run_dir, said = tmp_path / "mine", []
    run_dir.mkdir()
    with tracked_beside(run_dir, [name], said.append):
        (run_dir / STUDY_FILE).write_bytes((whole / STUDY_FILE).read_bytes())
        for record in read_records(whole).records:
            write_record(run_dir, record)
            end = time.monotonic() + 120
            while f'"{record.number}": {{' not in noted(run_dir) and time.monotonic() < end:
                time.sleep(0.05)
        for file in ("front.csv", "front.html", "front.png"):
            (run_dir / file).write_bytes((whole / file).read_bytes())
    rest = " the rest is being sent (at most 60 s)"
    assert [text for line in said if (text := line.split(":")[1]) != rest] == [f" {name}"]
    CHECKS[name](run_dir)


def noted(run_dir):
    file = run_dir / FILE
    return file.read_text() if file.is_file() else ""


def test_what_wandb_has_synchronised_stays(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="needs the package wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run_dir = make_run(tmp_path / "mine", front=False)
    once("wandb", run_dir)
    (folder,) = (run_dir / "wandb" / "wandb").glob("offline-run-*-1")
    next(folder.glob("*.wandb")).with_suffix(".wandb.synced").touch()
    write_record(run_dir, complete(1, quality=0.7))
    once("wandb", run_dir)
    assert len(list(Path(folder.parent).glob("offline-run-*-1"))) == 2


def test_wandb_that_is_switched_off_is_an_error(tmp_path, monkeypatch):
    from mtray.errors import ConfigError

    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(ConfigError, match="WANDB_MODE=disabled"):
        open_tracker("wandb", tmp_path)
