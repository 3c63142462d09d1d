"""`track` and `--track`: what they ask for, say and leave, and that a sweep does not depend on
them."""

import os
import subprocess
import sys
import time

import pytest
from tracking_factory import complete, make_run

from mtray import side_process, sweep_command, track_process
from mtray.cli import main
from mtray.commands import track
from mtray.errors import ConfigError
from mtray.report.records import write_record
from mtray.run_files import STUDY_FILE
from mtray.tracking import trackers
from mtray.tracking.sent_runs import FILE, read_sent, sending

pytest.importorskip("tensorboardX", reason="needs the package tensorboardX (of Ray Tune)")


@pytest.fixture
def run_dir(tmp_path):
    return make_run(tmp_path / "mine")


def sent_trials(run_dir):
    return [sorted(place.children) for place in read_sent(run_dir).places.values()]


def test_a_kept_run_is_sent_and_what_is_new_later(run_dir, capsys):
    assert main(["track", str(run_dir), "--to", "tensorboard"]) == 0
    said = capsys.readouterr().out
    assert f"tracking: tensorboard: {run_dir}/tensorboard\n" in said
    assert said.endswith("tensorboard: 5 trials sent, 0 were there\n")
    write_record(run_dir, complete(4))
    assert main(["track", str(run_dir), "--to", "tensorboard"]) == 0
    assert capsys.readouterr().out.endswith("tensorboard: 1 trials sent, 5 were there\n")
    assert sent_trials(run_dir) == [[-1, 0, 1, 2, 3, 4]]


def test_a_front_that_is_older_than_the_records_is_written_before(run_dir, capsys):
    old = time.time() - 1000
    for name in ("front.html", "front.csv", "front.png"):
        os.utime(run_dir / name, (old, old))
    assert main(["track", str(run_dir), "--to", "tensorboard"]) == 0
    assert (run_dir / "front.csv").read_text().count("\n") > 2
    assert (run_dir / "front.html").stat().st_size > 1000


WRONG = {
    "no such tracker": (["--to", "tensorbord"], "expected tensorboard, mlflow, wandb"),
    "none": ([], "the following arguments are required: --to"),
    "another one's address": (["--to", "tensorboard", "--mlflow-uri", "x"], "needs --to mlflow"),
    "no package": (["--to", "tensorboard,wandb"], "the package wandb is not installed; install it"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options(run_dir, capsys, monkeypatch, case):
    options, said = WRONG[case]
    monkeypatch.setattr(trackers, "find_spec", lambda name: None if name == "wandb" else object())
    try:
        code = main(["track", str(run_dir), *options])
    except SystemExit as error:
        code = error.code
    assert code == 2 and said in capsys.readouterr().err
    assert not (run_dir / FILE).exists(), "nothing has begun"


def test_a_folder_that_is_no_run(tmp_path, capsys):
    assert main(["track", str(tmp_path), "--to", "tensorboard"]) == 2
    assert "not a run folder" in capsys.readouterr().err


def test_a_run_that_is_being_sent(run_dir, capsys):
    with sending(run_dir):
        assert main(["track", str(run_dir), "--to", "tensorboard"]) == 2
    assert f"is being sent by process {os.getpid()}" in capsys.readouterr().err


def test_a_tracker_that_is_down_is_an_error_that_says_what_is_missing(run_dir, capsys, monkeypatch):
    def down(name, folder):
        raise ConnectionError("https://me:secret@host refused")

    monkeypatch.setattr(track, "open_tracker", down)
    assert main(["track", str(run_dir), "--to", "tensorboard"]) == 2
    said = capsys.readouterr().err
    assert "tensorboard: not sent: trials base, 0, 1, 2, 3: ConnectionError" in said
    assert "the same command sends what is missing" in said and "secret" not in said


def test_a_sweep_asks_for_packages_before_anything_else(tmp_path, monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    args = sweep_command.arguments(["--track", "mlflow", "--study", str(tmp_path / "none.yaml")])
    with pytest.raises(ConfigError, match=r"--track mlflow: .*pip install 'mlflow>=3,<4'"):
        sweep_command.load(args)
    args = sweep_command.arguments(
        ["--mlflow-uri", "http://host", "--study", str(tmp_path / "none.yaml")]
    )
    with pytest.raises(ConfigError, match="--mlflow-uri: needs --track mlflow"):
        sweep_command.load(args)


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


def test_beside_a_sweep_from_before_its_first_trial_to_its_front(tmp_path):
    whole = make_run(tmp_path / "whole")
    run_dir, said = tmp_path / "mine", []
    run_dir.mkdir()
    with track_process.tracked_beside(run_dir, ["tensorboard"], said.append):
        (run_dir / STUDY_FILE).write_bytes((whole / STUDY_FILE).read_bytes())
        write_record(run_dir, complete(0))
        until(lambda: (run_dir / "tensorboard" / "trial-0").is_dir())
        write_record(run_dir, complete(1))
        (run_dir / "front.csv").write_text("number\n0\n1\n")
    assert sent_trials(run_dir) == [[0, 1]]
    assert (run_dir / "tensorboard" / "trial-1").is_dir()
    assert said[0] == f"tracking: tensorboard: {run_dir}/tensorboard"


def test_no_tracker_no_process(tmp_path, monkeypatch):
    monkeypatch.setattr(side_process.subprocess, "Popen", None)
    with track_process.tracked_beside(tmp_path, [], print):
        pass


ENDINGS = {
    "chatty": ("import sys; print('View run', flush=True); sys.stdin.read()", ""),
    "killed": (
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "its process ended early",
    ),
    "slow": ("import sys, time; sys.stdin.read(); time.sleep(60)", "not done after 0 s"),
    "done": ("import sys; sys.stdin.read()", ""),
}


@pytest.mark.parametrize("case", ENDINGS)
def test_a_sender_that_ends_or_is_slow_does_not_hold_up_the_sweep(tmp_path, monkeypatch, case):
    code, why = ENDINGS[case]
    real, said = subprocess.Popen, []
    monkeypatch.setattr(
        side_process.subprocess,
        "Popen",
        lambda command, **options: real([sys.executable, "-c", code], **options),
    )
    monkeypatch.setattr(track_process, "AT_ONCE", 0.1 if case == "slow" else 60)
    monkeypatch.setattr(track_process, "FINISH", 0.1)
    began = time.monotonic()
    with track_process.tracked_beside(tmp_path, ["tensorboard", "mlflow"], said.append):
        pass
    assert time.monotonic() - began < 30
    command = f"python -m mtray track {tmp_path} --to tensorboard,mlflow"
    ends = f"tracking: {why}; to send what is missing: {command}"
    assert said[-1:] == ([ends] if why else [])
