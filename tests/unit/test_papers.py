"""Presets of papers: every preset at every scale composes studies that load, with the recipes that
they give, without data or a network."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mtray.cli import main
from mtray.commands.paper import _awaited, unfinished
from mtray.errors import ConfigError
from mtray.papers.composition import NAME, composed, replaced, substituted, written
from mtray.papers.pages import markdown, needs_sheet, setup_sheet
from mtray.papers.preset import SCALES, SPACES, STUDIES, Preset, load_preset, preset_ids
from mtray.papers.reports import CODE
from mtray.papers.results import Report
from mtray.report.printing import Sheet
from mtray.search_space.given_recipes import given_points
from mtray.search_space.space import load_space
from mtray.study import load_study

IDS = preset_ids()
DATA = Path("/nowhere")
ALL = [(paper, scale) for paper in IDS for scale in SCALES]


@pytest.fixture(autouse=True)
def no_corpora(monkeypatch):
    monkeypatch.setattr("mtray.embedded.corpora.prepare", lambda: pytest.fail("fetched"))


def test_the_presets_are_there_with_their_code():
    assert {"2404.14122", "2405.20089"} <= {*IDS}
    assert {*CODE} == {*IDS}


@pytest.mark.parametrize(("paper", "scale"), ALL, ids=lambda x: x)
def test_every_run_composes_a_study_with_recipes_that_its_space_contains(paper, scale, tmp_path):
    preset = load_preset(paper)
    assert preset.paper == paper
    runs = composed(preset, scale, DATA)
    assert [run.run for run in runs] == preset.runs_at(scale)
    assert runs
    for run in runs:
        files = written(run, tmp_path, "made up")
        study = load_study(files[0])  # not its model, which may be another run's
        space = load_space(files[1], study.defaults, study.sources)
        given_points(space, study.budget.recipes)
        assert study.name == run.name == f"{paper}-{scale}-{run.run}"
        assert space.parameters
        assert study.budget.trials >= len(study.budget.recipes) > 0
        assert NAME.search(study.model_dump_json()) is None


@pytest.mark.parametrize("paper", IDS)
def test_every_value_is_used_and_every_file_that_a_scale_reads_is_needed(paper):
    preset = load_preset(paper)
    used = {
        found
        for run in preset.runs
        for folder in (STUDIES, SPACES)
        for found in names_in((folder / paper / f"{run}.yaml").read_text(encoding="utf-8"))
    }
    used |= names_in(str(list(preset.values.values())))
    assert {*preset.values} <= used
    for scale in SCALES:
        needed = {file for need in preset.needs_at(scale).values() for file in need.files}
        text = "".join(str(run.study) for run in composed(preset, scale, DATA))
        unused = [file for file in needed if f"{DATA}/{file}" not in text]
        assert unused == []
        assert text.count(f"{DATA}/") >= len(needed)
        unnamed = {part.split("'")[0] for part in text.split(f"{DATA}/")[1:]} - needed
        assert unnamed == set(), scale


def names_in(text):
    return {match[2] or match[3] for match in NAME.finditer(text) if not match[1]}


@pytest.mark.parametrize("paper", IDS)
def test_every_scale_says_what_it_needs_and_what_differs(paper):
    preset = load_preset(paper)
    for scale in SCALES:
        assert setup_sheet(preset, scale).rows
        assert needs_sheet(preset, scale, DATA).rows
    assert not [need for need in preset.needs_at("tiny").values() if need.files]


VALUES = {"one": 1, "list": [1, 2], "text": "a", "deep": {"x": "$one"}, "end": "${text}b"}
SUBSTITUTIONS = {
    "whole": ("$one", 1),
    "braces": ("${list}", [1, 2]),
    "within": ("<$text-${one}>", "<a-1>"),
    "spliced": (["$list", 3, ["$list"]], [1, 2, 3, [1, 2]]),
    "merged": ({"$deep": None, "y": "$end"}, {"x": 1, "y": "ab"}),
    "of a mapping": ({"a": "$deep"}, {"a": {"x": 1}}),
    "dollar": ("$$one", "$one"),
    "no name": ("5 $ {x} {corpora}", "5 $ {x} {corpora}"),
}


@pytest.mark.parametrize(("given", "expected"), SUBSTITUTIONS.values(), ids=SUBSTITUTIONS)
def test_names_are_replaced(given, expected):
    assert substituted(given, VALUES) == expected


@pytest.mark.parametrize(
    ("text", "values", "said"),
    [
        ("a: $none", {}, "$none stands for nothing; known: "),
        ("a: $data/x", {"b": 1}, "$data stands for nothing; give --data FOLDER; known: b"),
        ("a: $b", {"b": ["$b"]}, "a value of the preset contains itself"),
    ],
)
def test_a_name_that_stands_for_nothing_is_an_error(text, values, said, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        replaced(path, values)
    assert str(path) in str(caught.value) and said in str(caught.value)


BARE = {
    "paper": "x", "title": "", "scales": dict.fromkeys(SCALES, ""), "runs": {"r": {"about": ""}},
    "values": {}, "setup": {},
}  # fmt: skip
INCOMPLETE = {
    "value": ({"values": {"size": {"tiny": 1, "small": 1}}}, "`values.size` has no full"),
    "scale": ({"scales": {"tiny": "", "small": ""}}, "`scales` has no full"),
    "setup": ({"setup": {"model": dict.fromkeys(SCALES, "")}}, "`setup.model` has no paper"),
}


@pytest.mark.parametrize(("change", "said"), INCOMPLETE.values(), ids=INCOMPLETE)
def test_a_scale_that_lacks_something_is_refused(change, said):
    assert Preset.model_validate(BARE).runs_at("full") == ["r"]
    with pytest.raises(ValueError, match=said):
        Preset.model_validate(BARE | change)


def test_the_command_lists_presets_and_names_missing_files(capsys, tmp_path):
    assert main(["paper"]) == 0
    assert "2405.20089: The Fine-Tuning Paradox" in capsys.readouterr().out
    for option in ("--check", "--report", "--run=sizes"):
        assert main(["paper", option]) == 2
        assert "ID: is missing" in capsys.readouterr().err
    assert main(["paper", "1706.03762"]) == 2
    assert "there are 004, " in capsys.readouterr().err
    command = ["paper", "2405.20089", "--scale", "small", "--check", "--runs-dir", str(tmp_path)]
    assert main([*command, "--data", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert "github.com/fe1ixxu/ALMA" in shown.out and "MIT; WMT's texts" in shown.out
    assert "missing: wmt/train.de-en.de, " in shown.out
    assert "such as wmt/train.de-en.de; get them from where the table says" in shown.err
    assert main(["paper", "2405.20089", "--run", "none", "--runs-dir", str(tmp_path)]) == 2
    assert "--run none: 2405.20089 has sizes, web, ratio" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_report_needs_finished_runs(capsys, tmp_path):
    assert main(["paper", "2405.20089", "--report", "--runs-dir", str(tmp_path)]) == 2
    assert "2405.20089-tiny-sizes" in capsys.readouterr().err


def test_an_unfinished_run_is_reported_as_such():
    study = SimpleNamespace(budget=SimpleNamespace(trials=16))
    said = "`sizes` is not finished: this report has 2 of its 16 trainings."
    assert unfinished("sizes", SimpleNamespace(study=study, records=[0] * 3)) == [said]
    assert unfinished("sizes", SimpleNamespace(study=study, records=[0] * 17)) == []


CHILD = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""


def test_sigterm_is_passed_on_to_the_sweep(tmp_path):
    """It ends in its own way, and its exit code is the command's."""
    ready, before = tmp_path / "ready", signal.getsignal(signal.SIGTERM)

    def stop():
        for _ in range(600):
            if ready.exists():
                break
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    assert _awaited([sys.executable, "-c", CHILD, str(ready)]) == 7
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_exit_code_of_a_killed_sweep_is_that_of_a_shell():
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert _awaited([sys.executable, "-c", kill]) == 137
    assert _awaited([sys.executable, "-c", ""]) == 0


def test_a_folder_with_a_dollar_sign_is_no_name():
    preset = load_preset("2405.20089")
    (run, *_) = composed(preset, "small", Path("/my $data/a$$b"))
    assert "'/my $data/a$$b/wmt/train.de-en.de'" in str(run.study)


def test_a_folder_of_runs_that_is_a_file(tmp_path, capsys):
    (tmp_path / "file").touch()
    command = ["paper", "2405.20089", "--check", "--runs-dir", str(tmp_path / "file")]
    assert main(command) == 2
    assert "is a file; give a folder" in capsys.readouterr().err


def test_a_page_has_tables_texts_and_figures():
    sheet = Sheet(["a|b", "c"], [["1", "2"]], title="Title", caption="Note.")
    assert markdown(Report([sheet, "Text."], {"sizes": b""}), "x-").split("\n\n") == [
        "### Title", "| a\\|b | c |\n| --- | --- |\n| 1 | 2 |", "Note.", "Text.",
        "![sizes](x-sizes.png)\n",
    ]  # fmt: skip
