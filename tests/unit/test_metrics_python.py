"""Which interpreter learned metrics run in."""

import sys
from pathlib import Path

import pytest

from mtray import metrics_python, runtime
from mtray.errors import ModelError
from mtray.metrics_python import FOLDER, VARIABLE, comet_version
from mtray.preparation import check_metrics_python, checked
from mtray.search_space.space import load_space
from mtray.study import load_study

ROOT = Path(__file__).resolve().parents[2]

GOOD = {"python": "3.11.7", "unbabel-comet": "2.2.7", "transformers": "4.57.6", "numpy": "1.26.4"}
NEW = {**GOOD, "transformers": "5.24.0"}
WITHOUT = {"python": "3.11.7", "transformers": "4.57.6"}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with an environment at `env` and a checkout at `src`, and interpreters that print
    what is given."""
    (tmp_path / "src/mtray").mkdir(parents=True)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "env/.venv"))
    monkeypatch.setattr(metrics_python, "__file__", str(tmp_path / "src/mtray/metrics_python.py"))
    monkeypatch.setattr(metrics_python, "_own", WITHOUT.get)

    def make(place, found):
        file = tmp_path / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'#!/bin/sh\necho "{str(found).replace(chr(39), chr(92) + chr(34))}"\n')
        file.chmod(0o755)
        return str(file)

    return make


def test_the_order_in_which_it_is_looked_for(machine, monkeypatch):
    monkeypatch.setattr(metrics_python, "_own", GOOD.get)
    assert metrics_python.metrics_python().path == sys.executable
    checkout = machine(f"src/{FOLDER}/bin/python", GOOD)
    assert metrics_python.metrics_python().path == checkout
    beside = machine(f"env/{FOLDER}/bin/python", GOOD)
    assert metrics_python.metrics_python().path == beside
    named = machine("elsewhere/python", GOOD)
    monkeypatch.setenv(VARIABLE, named)
    found = metrics_python.metrics_python()
    assert (found.path, found.versions) == (named, GOOD)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (WITHOUT, "has no unbabel-comet"),
        (NEW, "has transformers 5.24.0, and unbabel-comet needs one below 5"),
    ],
)
def test_none_is_an_error_that_says_how_to_get_one(machine, monkeypatch, own, said):
    monkeypatch.setattr(metrics_python, "_own", own.get)
    with pytest.raises(ModelError) as caught:
        metrics_python.metrics_python()
    for part in (said, "make setup", VARIABLE, "pip install unbabel-comet==2.2.7", FOLDER):
        assert part in str(caught.value)
    assert comet_version() is None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (WITHOUT, "has no unbabel-comet"),
        (NEW, "has transformers 5.24.0"),
        ("not json", "is not a Python that can run"),
    ],
)
def test_one_that_was_named_is_not_passed_over(machine, monkeypatch, found, said):
    """The next in the order might be another version than the user wants."""
    machine(f"env/{FOLDER}/bin/python", GOOD)
    monkeypatch.setenv(VARIABLE, machine("elsewhere/python", found))
    with pytest.raises(ModelError, match=f"{VARIABLE}=.*{said}"):
        metrics_python.metrics_python()


def test_a_name_that_is_nowhere_is_an_error(machine, monkeypatch):
    monkeypatch.setenv(VARIABLE, "/absent/python")
    with pytest.raises(ModelError, match=r"MTRAY_METRICS_PYTHON=/absent/python is not a Python"):
        metrics_python.metrics_python()


def test_a_relative_path_is_refused(machine, monkeypatch):
    monkeypatch.setenv(VARIABLE, "env/bin/python")
    with pytest.raises(ModelError, match=r"env/bin/python is relative.*give an absolute path"):
        metrics_python.metrics_python()


def test_a_record_has_the_version_that_scores(machine, monkeypatch):
    monkeypatch.setenv(VARIABLE, machine("elsewhere/python", {**GOOD, "unbabel-comet": "2.2.9"}))
    assert runtime.versions()["unbabel-comet"] == "2.2.9"
    monkeypatch.setenv(VARIABLE, "/absent/python")
    assert "unbabel-comet" not in runtime.versions()


def test_a_study_that_needs_none_does_not_look(machine, monkeypatch):
    monkeypatch.setenv(VARIABLE, "/absent/python")
    study = load_study(ROOT / "sweeps/default.yaml")
    evaluation = study.evaluation.model_copy(update={"comet": "none", "metrics": ("chrf",)})
    check_metrics_python(study.model_copy(update={"evaluation": evaluation}))


def test_a_study_that_needs_one_fails_before_anything_is_read(machine, monkeypatch):
    monkeypatch.setenv(VARIABLE, "/absent/python")
    monkeypatch.setattr("mtray.embedded.corpora.fetch_corpora", pytest.fail)
    study = load_study(ROOT / "sweeps/default.yaml")
    space = load_space(ROOT / "search_spaces/ratio.yaml")
    with pytest.raises(ModelError, match="MTRAY_METRICS_PYTHON=/absent/python"):
        checked(study, space)


def test_this_checkout_has_one():
    assert Path(metrics_python.metrics_python().path).is_file()
