"""What every machine of a cluster sees, with functions in the place of its machines."""

import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from records_factory import make_study

from mtray.errors import RunError
from mtray.runtime import versions

probes = pytest.importorskip("mtray.search.execution.cluster_probe", reason="needs Ray")


@pytest.fixture
def cluster(monkeypatch):
    """Machines by address; each answers with what this one sees, and its changes."""
    answers = {"10.0.0.1": {}, "10.0.0.2": {}}

    def ask(nonce, paths):
        assert Path(nonce).read_text()
        seen = probes._look()(nonce, paths)
        return [
            (address, change if isinstance(change, str) else {**seen, "host": "b", **change})
            for address, change in answers.items()
        ]

    monkeypatch.setattr(probes, "_ask", ask)
    monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True}] * len(answers))
    return answers


def test_machines_that_see_the_same_are_in_order_and_nothing_is_left(cluster, tmp_path):
    assert probes.check_nodes(tmp_path, make_study()) == []
    assert not list(tmp_path.iterdir())


OTHER = {**versions(), "code": "0123456789ab"}
PROBLEMS = {
    "folder": ({"sees_folder": False}, r"b \(10.0.0.2\): does not see this machine's {folder}"),
    "model": ({"lacks": ["/models/x"]}, r"b \(10.0.0.2\): has no /models/x"),
    "mtray": (
        {"import_error": "ModuleNotFoundError: No module named 'mtray'"},
        r"b \(10.0.0.2\): cannot import mtray \(ModuleNotFoundError",
    ),
    "code": ({"versions": OTHER}, r"b \(10.0.0.2\): has other code of mtray .*0123456789ab; here"),
    "dead": ("starts no process within 120 s", r"10.0.0.2: starts no process within 120 s"),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_machine_on_which_no_trial_can_run_is_named(cluster, tmp_path, case):
    change, message = PROBLEMS[case]
    cluster["10.0.0.2"] = change
    with pytest.raises(RunError, match=message.replace("{folder}", str(tmp_path))) as caught:
        probes.check_nodes(tmp_path, make_study())
    assert "10.0.0.1" not in str(caught.value) and "doctor --address" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_all_machines_are_named_in_one_message(cluster, tmp_path):
    for answer in cluster.values():
        answer["sees_folder"] = False
    with pytest.raises(RunError, match=r"(?s)10.0.0.1.*10.0.0.2"):
        probes.check_nodes(tmp_path, make_study())


def test_other_versions_of_packages_are_told(cluster, tmp_path):
    cluster["10.0.0.2"] = {"versions": {**versions(), "torch": "1.0"}}
    (line,) = probes.check_nodes(tmp_path, make_study())
    assert line.startswith("b (10.0.0.2): has other versions: torch 1.0 (here ")


def test_a_single_machine_is_not_asked(cluster, tmp_path, monkeypatch):
    del cluster["10.0.0.2"]
    monkeypatch.setattr(probes, "_ask", lambda *_: pytest.fail("seconds for nothing"))
    assert probes.check_nodes(tmp_path, make_study()) == []


def test_what_trials_read_on_their_machine(tmp_path):
    study = make_study(model=str(tmp_path))
    assert probes.shared_paths(study)[0] == str(tmp_path)
    hub = SimpleNamespace(model="someone/model", evaluation=study.evaluation)
    assert "someone/model" not in probes.shared_paths(hub)


def test_the_question_can_be_asked_where_mtray_is_not_installed(tmp_path):
    """Its code is sent along."""
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    (tmp_path / "look").write_bytes(cloudpickle.dumps(probes._look()))
    code = (
        "import pickle, sys; look = pickle.load(open(sys.argv[1], 'rb'));"
        "sys.modules['mtray'] = None; print(look(sys.argv[1], ['/nowhere']))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tmp_path / "look")], capture_output=True, text=True
    )
    assert "'sees_folder': True, 'lacks': ['/nowhere']" in done.stdout, done.stderr
    assert "ModuleNotFoundError" in done.stdout
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(probes._look())
