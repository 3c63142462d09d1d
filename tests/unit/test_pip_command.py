"""pip is run also where the environment has none, as in those that uv makes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mtray import pip_command
from mtray.commands import doctor
from mtray.embedded import corpora
from mtray.errors import DataError, RunError


@pytest.fixture
def without_pip(monkeypatch):
    monkeypatch.setattr(pip_command, "find_spec", lambda name: None)


def no_ensurepip(*_, **__):
    raise subprocess.CalledProcessError(1, "ensurepip")


def test_the_own_one_is_used_where_there_is_one():
    with pip_command.pip_command() as command:
        assert command == [sys.executable, "-m", "pip"]


def test_else_that_of_a_temporary_environment(without_pip):
    with pip_command.pip_command() as command:
        said = subprocess.run([*command, "--version"], capture_output=True, text=True).stdout
        folder = Path(command[0]).parents[1]
        assert re.match(r"pip \d", said) and str(folder) in said and str(folder) != sys.prefix
    assert not folder.exists()


def test_where_there_is_neither_it_says_what_to_install(without_pip, monkeypatch, tmp_path):
    monkeypatch.setattr(pip_command.venv, "create", no_ensurepip)
    monkeypatch.setenv("MTRAY_CACHE", str(tmp_path))
    with pytest.raises(RunError, match="uv pip install pip"), pip_command.pip_command():
        raise AssertionError
    with pytest.raises(DataError, match=r"could not fetch: this environment .*install pip\n"):
        corpora.fetch(tmp_path)
    (found,) = doctor.corpora(offline=False)
    assert found.level == "MISSING" and found.text.endswith("uv pip install pip")
