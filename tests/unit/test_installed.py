"""mtray installed from a wheel: studies, spaces and presets are in it, and `mtray sweep` and shell
completion work from any folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mtray.cli import _parser, main
from mtray.commands.completion import completion
from mtray.papers.preset import preset_ids
from mtray.sweep_command import arguments

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("sweeps", "search_spaces")
SHOWN = (
    "import mtray.sweep_command as s\n"
    "from mtray.papers.preset import load_preset, preset_ids\n"
    "from mtray.sweep_command import arguments, load\n"
    "load(arguments([]))\n"
    "[load_preset(paper) for paper in preset_ids()]\n"
    "print(s.__file__, s.DEFAULT_STUDY, s.DEFAULT_SPACE, *preset_ids(), sep='\\n')\n"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The package as a wheel holds it, without the weights, which take long to copy."""
    source, library = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("library")
    unwanted = shutil.ignore_patterns("weights", "__pycache__")
    for folder in ("mtray", *FOLDERS):
        shutil.copytree(ROOT / folder, source / folder, ignore=unwanted)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, source / name)
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(library)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return library


def test_a_wheel_holds_every_study_space_and_preset(built):
    shipped = built / "mtray" / "shipped"
    found = {p.relative_to(shipped) for p in shipped.rglob("*.yaml")}
    assert found == {p.relative_to(ROOT) for f in FOLDERS for p in (ROOT / f).rglob("*.yaml")}
    assert len(found) > 20 and (built / "mtray/py.typed").is_file()


def test_an_installed_package_reads_its_own(built, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(built)}
    command = [sys.executable, "-c", SHOWN]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *files, papers = done.stdout.strip().split("\n", 3)
    assert len(files) == 3 and all(Path(file).is_relative_to(built) for file in files)
    assert papers.split() == preset_ids()


def test_mtray_sweep_takes_the_options_of_the_script(monkeypatch, capsys):
    seen = []
    monkeypatch.setattr("mtray.sweep_command.run_sweep", lambda args: seen.append(args) or 0)
    assert main(["sweep", "--trials", "5", "--study", "my.yaml", "--dry-run"]) == 0
    assert seen == [arguments(["--trials", "5", "--study", "my.yaml", "--dry-run"])]
    with pytest.raises(SystemExit) as ended:
        main(["sweep", "--help"])
    assert ended.value.code == 0 and "usage: python -m mtray sweep" in capsys.readouterr().out


# words typed, and some of what the shell must offer, or must not
TYPED = {
    ("st",): ({"status"}, {"serve", "check"}),
    ("front", "--a"): ({"--against", "--absolute", "--all"}, {"--json"}),
    ("sweep", "--tr"): ({"--trials", "--train-again"}, {"--study"}),
    ("outputs", "--metric", "c"): ({"chrf", "chrf++", "comet"}, {"--metric"}),
    ("completion", "z"): ({"zsh"}, {"bash"}),
    ("status", "my-"): ({"my-file"}, {"--json"}),
}


@pytest.mark.parametrize("words", TYPED, ids=" ".join)
def test_bash_completes(words, tmp_path):
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    (tmp_path / "my-file").touch()
    typed = " ".join(("mtray", *words))
    program = completion(_parser(), "bash") + (
        f"COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _mtray; echo ${{COMPREPLY[@]}}\n"
    )
    done = subprocess.run(["bash", "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""
    offered = set(done.stdout.split())
    wanted, unwanted = TYPED[words]
    assert wanted <= offered and not unwanted & offered


def test_every_command_is_completed(capsys):
    assert main(["completion", "zsh"]) == 0
    script = capsys.readouterr().out
    (commands,) = (a.choices for a in _parser()._actions if a.dest == "COMMAND" or a.choices)
    assert "bashcompinit" in script
    assert [c for c in commands if f" {c}) words=" not in script] == []
