"""What every machine of a cluster sees, with functions in the place of its machines."""

import pickle
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
from records_factory import make_study

from mtray.errors import RunError
from mtray.model_paths import hub_cache_state
from mtray.runtime import versions

probes = pytest.importorskip("mtray.search.execution.cluster_probe", reason="needs Ray")


@pytest.fixture
def cluster(monkeypatch):
    """Machines by address; each answers with what this one sees, and its changes."""
    answers = {"10.0.0.1": {}, "10.0.0.2": {}}

    def ask(nonce, needs):
        assert Path(nonce).read_text()
        seen = probes._look()(nonce, {**asdict(needs), "comet": False})
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
    "program": ({"no_program": ["my-metric"]}, r"b \(10.0.0.2\): finds no my-metric"),
    "comet": (
        {"comet_error": "comet: no interpreter for metrics"},
        r"b \(10.0.0.2\): cannot compute COMET \(comet: no interpreter",
    ),
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


def test_what_trials_need_on_their_machine(tmp_path):
    study = make_study(model=str(tmp_path))
    assert probes.needs_of(study).paths[0] == str(tmp_path)
    wanted = study.evaluation.model_copy(
        update={"comet": "a/comet", "more_comet": {"x": "b/kiwi"}, "embedder": "c/encoder"}
    )
    found = probes.needs_of(SimpleNamespace(model="someone/model", evaluation=wanted))
    assert found.hub == (
        ("someone/model", False), ("c/encoder", False), ("a/comet", True), ("b/kiwi", True),
    )  # fmt: skip
    assert not {name for name, _ in found.hub} & {*found.paths}
    assert probes.needs_of(study).hub == ()
    own = {"mine": ("python", str(tmp_path), "--fast", "/no/such")}
    for comet, needed in (("none", False), ("embedded", True)):
        wanted = study.evaluation.model_copy(update={"comet": comet, "more_metrics": own})
        needs = probes.needs_of(study.model_copy(update={"evaluation": wanted}))
        assert needs == probes.Needs((str(tmp_path),), ("python", str(tmp_path)), needed)


COMMIT, OTHER_COMMIT = "a" * 40, "b" * 40


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the hub, and a function that adds a copy of a model to it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    def add(name, **files):
        place = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        (place / "refs").mkdir(parents=True)
        (place / "refs/main").write_text(COMMIT)
        for file, content in files.items():
            path = place / "snapshots" / COMMIT / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    return add


WEIGHTS = (2).to_bytes(8, "little") + b"{}"  # a safetensors file without tensors
COPIES = {
    "nothing": (None, False, "", ""),
    "whole": ({"config.json": b"{}", "model.safetensors": WEIGHTS}, False, COMMIT, ""),
    "config alone": ({"config.json": b"{}"}, False, COMMIT, "no weights (*.safetensors)"),
    "cut off": ({"config.json": b"{}", "model.safetensors": b"1"}, False, COMMIT, "is cut off"),
    "comet": ({"hparams.yaml": b"", "checkpoints/model.ckpt": b"1"}, True, COMMIT, ""),
    "comet in part": ({"hparams.yaml": b""}, True, COMMIT, "checkpoints/model.ckpt"),
    "no comet": ({"config.json": b"{}"}, True, "", ""),
}


@pytest.mark.parametrize("case", COPIES)
def test_what_the_cache_has_of_a_model_of_the_hub(case, cache, monkeypatch, tmp_path):
    files, comet, commit, lacks = COPIES[case]
    if files is not None:
        cache("someone/model", **files)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("asks the network"))
    state = hub_cache_state("someone/model", comet)
    assert state["commit"] == commit and state["cache"] == str(tmp_path / "hub")
    assert lacks in state["lacks"] and bool(lacks) == bool(state["lacks"])
    assert state["offline"] == ""


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_the_variable_that_keeps_the_hub_from_being_asked_is_named(variable, cache, monkeypatch):
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert hub_cache_state("someone/model")["offline"] == f"{variable}=1"


HERE = {"commit": COMMIT, "lacks": "", "cache": "/hub", "offline": ""}
OFFLINE = {"offline": "HF_HUB_OFFLINE=1"}
NO_MODEL = "has no someone/model in its cache /hub"
# how another machine's cache differs, and what is said of it; whether that prevents trials
CACHES = {
    "the same": ({}, "", False),
    "none": ({"commit": ""}, f"{NO_MODEL}; it will be downloaded there", False),
    "none, offline": (
        {"commit": "", **OFFLINE},
        f"{NO_MODEL}, and may not access the hub (HF_HUB_OFFLINE=1): run `HF_HUB_OFFLINE=0 hf "
        "download someone/model` there",
        True,
    ),
    "in part": (
        {"lacks": "x"},
        "has an incomplete someone/model in its cache /hub (x); it ",
        False,
    ),
    "in part, offline": (
        {"lacks": "x", **OFFLINE},
        "has an incomplete someone/model in its cache /hub (x), and may not access the hub (HF_",
        True,
    ),
    "another": (
        {"commit": OTHER_COMMIT},
        f"has someone/model in another version (commit {OTHER_COMMIT}; here {COMMIT})",
        False,
    ),
    "another, offline": (
        {"commit": OTHER_COMMIT, **OFFLINE},
        f"has someone/model in another version (commit {OTHER_COMMIT}; here {COMMIT}), and may",
        True,
    ),
}


@pytest.mark.parametrize("case", CACHES)
def test_a_model_that_a_machine_does_not_have_in_its_cache(case, cluster, cache, tmp_path):
    """It would fail late: when a trial loads it."""
    change, message, prevents = CACHES[case]
    cache("someone/model", **{"config.json": b"{}", "model.safetensors": WEIGHTS})
    for answer, more in zip(cluster.values(), ({}, change), strict=True):
        answer["hub"] = {"someone/model": HERE | more}
    study = make_study(model="someone/model")
    if prevents:
        with pytest.raises(RunError) as caught:
            probes.check_nodes(tmp_path, study)
        assert f"  b (10.0.0.2): {message}" in str(caught.value)
        assert "hf download" in str(caught.value) and "10.0.0.1" not in str(caught.value)
    else:
        lines = probes.check_nodes(tmp_path, study)
        assert len(lines) == bool(message)
        assert all(line.startswith(f"b (10.0.0.2): {message}") for line in lines)


def test_every_machine_looks_for_the_models_of_the_hub(cache, tmp_path):
    cache("someone/model", **{"config.json": b"{}"})
    needs = probes.Needs(hub=(("someone/model", False), ("a/comet", True)))
    found = probes._look()(str(tmp_path), asdict(needs))["hub"]
    assert found["someone/model"] == hub_cache_state("someone/model")
    assert found["a/comet"]["commit"] == ""


def test_a_model_of_which_a_machine_has_another_copy(cluster, tmp_path):
    model = tmp_path / "model"
    (model / "more").mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "more/weights").write_text("12345")
    (model / ".cache").mkdir()
    (model / ".cache/lock").write_text("of this machine")
    study = make_study(model=str(model))
    assert probes.check_nodes(tmp_path, study) == []
    for files, told in (
        ({"config.json": 2, "more/weights": 4}, "more/weights"),
        ({"config.json": 2}, "more/weights"),
        ({}, "config.json, more/weights"),
    ):
        cluster["10.0.0.2"] = {"files": {str(model): files}}
        with pytest.raises(RunError) as caught:
            probes.check_nodes(tmp_path, study)
        expected = f"has another {model} than this machine (other sizes of {told})"
        assert f"b (10.0.0.2): {expected}" in str(caught.value)


def test_where_there_is_no_interpreter_for_comet(tmp_path, monkeypatch):
    monkeypatch.setenv("MTRAY_METRICS_PYTHON", str(tmp_path / "python"))
    needs = asdict(probes.Needs((str(tmp_path / "model"),), ("no-such-program", "sh"), True))
    found = probes._look()(str(tmp_path), needs)
    assert "is not a Python that can run" in found["comet_error"]
    assert found["no_program"] == ["no-such-program"]
    assert found["lacks"] == [str(tmp_path / "model")]
    assert "comet_error" not in probes._look()(str(tmp_path), {**needs, "comet": False})


def test_the_question_can_be_asked_where_mtray_is_not_installed(tmp_path):
    """Its code is sent along."""
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    (tmp_path / "look").write_bytes(cloudpickle.dumps(probes._look()))
    code = (
        "import pickle, sys; look = pickle.load(open(sys.argv[1], 'rb'));"
        "sys.modules['mtray'] = None; print(look(sys.argv[1], "
        "{'paths': ['/nowhere'], 'programs': [], 'comet': True, 'hub': [['a/b', False]]}))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tmp_path / "look")], capture_output=True, text=True
    )
    assert "'sees_folder': True, 'lacks': ['/nowhere']" in done.stdout, done.stderr
    assert "ModuleNotFoundError" in done.stdout
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(probes._look())
