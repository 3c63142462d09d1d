"""`--json`: one value of a known shape on standard output, and errors on standard error."""

import json
import math
import time

import pytest
import yaml
from surface_factory import make_run, write_made_up
from test_cli import run, run_dir  # noqa: F401

from mtray.commands.checked_study import Checked
from mtray.commands.run_status import RunStatus
from mtray.report.all_trials import AllTrials
from mtray.report.front import Front
from mtray.report.prediction import Prediction
from mtray.run_files import result_path
from mtray.search.ledger.live_progress import LiveProgress, RunningTrial, write_progress
from mtray.search.ledger.run_folder import locked
from mtray.streams import finite_or_null


@pytest.fixture
def modelled_run(tmp_path):
    return write_made_up(tmp_path / "modelled", make_run())


@pytest.fixture
def tiny_study(tmp_path, monkeypatch):
    """A study and its space whose check reads them alone."""
    lines = [f"a sentence number {i}\tречення номер {i}" for i in range(60)]
    (tmp_path / "pairs.tsv").write_text("en\tuk\n" + "\n".join(lines) + "\n", encoding="utf-8")
    study = {
        "name": "tiny", "model": "embedded", "filters": {"leakage": "allow"},
        "sources": [
            {"name": "pairs", "kind": "parallel", "languages": ["en", "uk"], "path": "pairs.tsv"}
        ],
        "evaluation": {
            "comet": "none", "bootstrap": 100, "metrics": ["chrf"],
            "quality": [{"direction": "en-uk", "path": "pairs.tsv", "size": 20}],
            "abilities": {
                "back": {"measure": "translation", "path": "pairs.tsv", "direction": "uk-en",
                         "size": 20}
            },
        },
        "objectives": {"chrf.en-uk": "max", "retention": "max"},
        "budget": {"trials": 6, "baselines": ["parallel_only"]},
        "defaults": {"learning_rate": 0.001},
    }  # fmt: skip
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    space = {"parallel_size": {"type": "int", "low": 8, "high": 32}}
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(space))
    monkeypatch.setenv("MTRAY_CACHE", str(tmp_path / "cache"))
    return tmp_path


# command: its value, and the keys that it has
SHAPES = {
    "status {run}": RunStatus,
    "front {run}": Front,
    "front {run} --all": AllTrials,
    "predict {modelled} mono_ratio=1": Prediction,
    "check --study {tiny}/study.yaml --space {tiny}/space.yaml": Checked,
}


@pytest.mark.parametrize("command", SHAPES)
def test_a_command_prints_one_value_of_its_shape(
    run_dir, modelled_run, tiny_study, capsys, command  # noqa: F811
):  # fmt: skip
    places = {"run": run_dir, "modelled": modelled_run, "tiny": tiny_study}
    assert run(*(part.format(**places) for part in command.split()), "--json") == 0
    out = capsys.readouterr().out
    found = json.loads(out, parse_constant=pytest.fail)
    assert found.keys() == SHAPES[command].model_fields.keys()
    assert SHAPES[command].model_validate(found) is not None


@pytest.mark.parametrize(
    "command",
    ["status {tmp}/none", "front {tmp}/none", "predict {tmp}/none", "check --study {tmp}/none.yaml",
     "outputs {tmp}/none 1"],
)  # fmt: skip
def test_errors_stay_on_standard_error(tmp_path, capsys, command):
    assert run(*(part.format(tmp=tmp_path) for part in command.split()), "--json") == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ")


def test_status_counts_what_the_text_counts(run_dir, capsys):  # noqa: F811
    run("status", run_dir, "--json")
    found = json.loads(capsys.readouterr().out)
    expected = {"complete": 3, "failed": 1, "started": 2, "waiting": 1}
    assert {state: n for state, n in found["counts"].items() if n} == expected
    assert (found["planned"], found["base"], found["running"]) == (9, "measured", False)
    assert found["best"]["quality"]["trial"] == 2 and found["best"]["retention"]["trial"] == -1
    assert "loss is not finite" in found["trials"][3]["reason"] and found["problems"] == []


def test_status_of_a_running_sweep(run_dir, capsys):  # noqa: F811
    trial = RunningTrial(number=4, state="training", step=3, steps=9, loss=2.5)
    live = LiveProgress(
        written=time.time(), finished=3, total=9, seconds_left=None, trials=(trial,)
    )
    write_progress(run_dir, live)
    with locked(run_dir):
        run("status", run_dir, "--json")
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found["running"] and "process" in found["process"]
    (now,) = found["running_trials"]
    assert (now["step"], now["steps"], now["loss"], found["seconds_left"]) == (3, 9, 2.5, None)


def test_a_damaged_run_has_exit_code_1_and_says_so(run_dir, capsys):  # noqa: F811
    result_path(run_dir, 2).write_text("{")
    assert run("status", run_dir, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert any("trials/0002/result.json" in text for text in found["problems"])


def test_check_names_the_next_command(tiny_study, capsys):
    study, space = tiny_study / "study.yaml", tiny_study / "space.yaml"
    command = f"python -m mtray sweep --study {study} --space {space}"
    assert run("check", "--study", study, "--space", space) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"next: {command}"
    assert run("check", "--study", study, "--space", space, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["next"] == command and found["sources"]["pairs"]["examples"] == 60
    assert found["parameters"] == {"parallel_size": "8 to 32"}


def test_doctor_lists_its_findings(tmp_path, capsys):
    code = run("doctor", "--offline", "--runs-dir", tmp_path, "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["missing"] == sum(f["level"] == "MISSING" for f in found["findings"])
    assert code == bool(found["missing"]) and len(found["findings"]) > 5


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, None), (-math.inf, None), (1.5, 1.5), ({"a": [math.nan, 1]}, {"a": [None, 1]}),
        ((math.inf, "NaN"), [None, "NaN"]), (True, True),
    ],
)  # fmt: skip
def test_what_is_not_finite_is_null(value, expected):
    assert finite_or_null(value) == expected
