"""`mtray report`: facts from records, what they lack, and formats in which no text is obeyed."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from records_factory import make_baselines, make_pruned, make_record, make_study
from surface_factory import SPACE, make_run, write_made_up
from test_cli import run

from mtray.publication import facts
from mtray.publication.document import Table, as_html, as_markdown, latex, latex_table
from mtray.publication.facts import Subject, read_starts
from mtray.report.front_builder import build_front
from mtray.runtime import machine_text
from mtray.schema import Budget, Mix, Source, SourceShare, TrainingRecord

HOSTILE = "<script>alert(1)</script> & 100% $x_1$ #{a}^~ \\input{x} | `b`"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_made_up(tmp_path_factory.mktemp("report") / "mine", make_run())


def test_the_files_are_written_and_printed(folder, tmp_path, capsys):
    assert run("report", folder, "--out", tmp_path / "out") == 0
    names = {"front.pdf", "front.svg", "methods.tex", "report.html", "report.md", "table.tex"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert len(capsys.readouterr().out.splitlines()) == len(names)
    assert (tmp_path / "out/front.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in (tmp_path / "out/front.svg").read_text()
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert run("report", folder, "--out", tmp_path / "out") == 0
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize("place", ["{folder}/study.json", "{folder}/none"])
def test_a_report_that_cannot_be_made_ends_with_2(folder, tmp_path, capsys, place):
    path = place.format(folder=folder)
    if path.endswith("none"):
        assert run("report", path, "--out", tmp_path) == 2
        assert "no such run folder" in capsys.readouterr().err
    else:
        assert run("report", folder, "--out", path) == 2
        assert f"--out {path}: cannot be written" in capsys.readouterr().err


def subject(records, study=None, starts=()):
    study = study or make_study()
    front = build_front(records, study, Path("run"), space=SPACE)
    return Subject(study, SPACE, tuple(records), front, tuple(starts))


def trained(number, **changes):
    share = SourceShare(
        source="pairs", kind="parallel", requested=90, realised=90, available=4321, tokens=900,
        repeats=0.1,
    )  # fmt: skip
    training = TrainingRecord(
        steps=3, tokens=900, tokens_per_second=5, trainable_parameters=1000,
        total_parameters=2_000_000, accumulated_learning_rate=0.1, precision="bf16", loss=(),
    )  # fmt: skip
    return make_record(
        number, mix=Mix(shares=(share,)), training=training, seconds={"total": 1800.0}, **changes
    )


def test_the_methods_hold_what_a_reviewer_asks_for():
    records = [*make_baselines(), trained(2), trained(3, seed=5)]
    study = make_study(budget=Budget(trials=9), seed=3)
    starts = [{"machine": "CPU of 1989, 2 cores", "seconds": 7200}]
    text = " ".join(facts.methods(subject(records, study, starts)))
    for expected in (
        "2,000,000 parameters", "1,000 trainable parameters", "pairs (parallel, en-uk, 4,321",
        "budget of 9 trials", "quality (max), retention (max)", "Bayesian bootstrap",
        f"{study.evaluation.bootstrap:,} draws", "seed is 3", "CPU of 1989, 2 cores",
        "wall-clock time of the sweep: 2 hours", "torch 2.13.0", "full fine-tuning",
        "parallel_size 100 to 10000",
    ):  # fmt: skip
        assert expected in text, expected
    assert "not recorded" not in text.replace("draws were not recorded", "")


def test_trials_that_the_user_stopped_are_said():
    stopped = make_pruned(3).model_copy(update={"state": "stopped", "rungs": ()})
    text = " ".join(facts.methods(subject([*make_baselines(), trained(2), stopped])))
    assert "1 stopped" in text and "No trial was pruned. Stopped by the user: 1." in text
    assert "No trial was stopped" not in text


def test_what_the_records_lack_is_said_to_be_missing():
    records = [make_record(-1, role="base"), make_record(2, versions={})]
    text = " ".join(facts.methods(subject(records, make_study())))
    for expected in (
        "number of parameters not recorded", "size not recorded", "Hardware: not recorded",
        "wall-clock time of the sweep: not recorded", "Training precision: not recorded",
        "No recipe was trained with more than one seed",
    ):  # fmt: skip
        assert expected in text, expected


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)

    def handle_data(self, data):
        self.text += data


def test_html_shows_hostile_names(tmp_path):
    table = Table(["a", HOSTILE], [[HOSTILE, "1"]], HOSTILE, frozenset({1}))
    tags = Tags()
    tags.feed(as_html(HOSTILE, [HOSTILE, table]))
    assert "script" not in tags.found and tags.text.count(HOSTILE) == 6


def test_markdown_shows_hostile_names():
    made = as_markdown(HOSTILE, [Table(["a"], [[HOSTILE]])])
    assert "<script" not in made.replace("\\<script", "") and "\\`b\\`" in made
    cells = [line for line in made.splitlines() if line.startswith("| ")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 2 for line in cells)


LATEX = [
    ("a_b & 5% #1 {x} $", r"a\_b \& 5\% \#1 \{x\} \$"),
    ("\\input{x}", r"\textbackslash{}input\{x\}"),
    ("~^", r"\textasciitilde{}\textasciicircum{}"),
    ("-0.5 [-1, +2] en-uk 1-2", "$-$0.5 [$-$1, +2] en-uk 1-2"),
    ("<a> | b", r"\textless{}a\textgreater{} \textbar{} b"),
]


@pytest.mark.parametrize(("text", "expected"), LATEX)
def test_latex_shows_signs(text, expected):
    assert latex(text) == expected


def test_a_latex_table_has_as_many_cells_in_every_row():
    table = Table(["a & b", "c"], [["x_1 & y", "-1"], ["z", "2"]], "50 % & more", frozenset({1}))
    made = latex_table(table, "tab:x")
    rows = [line for line in made.splitlines() if line.endswith("\\\\")]
    assert len(rows) == 3 and all(len(re.findall(r"(?<!\\)&", row)) == 1 for row in rows)
    assert r"\begin{tabular}{lr}" in made and r"\caption{50 \% \& more}" in made
    assert made.count("{") == made.count("}") and made.count(r"\begin") == made.count(r"\end{")


def test_a_source_of_any_name_is_shown(folder):
    source = Source(name="odd_name.1", kind="parallel", path="p", languages=("en", "uk"))
    study = make_study(sources=(source,))
    records = [make_record(-1, role="base"), make_record(2)]
    assert "odd_name.1 (parallel, en-uk" in facts.data_sentence(subject(records, study))


def test_starts_that_cannot_be_read_are_left_out(tmp_path):
    file = tmp_path / "starts.jsonl"
    assert read_starts(tmp_path) == ()
    file.write_text(json.dumps({"seconds": 2}) + "\n[1]\n{cut")
    assert read_starts(tmp_path) == ({"seconds": 2},)


def test_the_machine_in_words(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\n")
    (tmp_path / "meminfo").write_text("MemTotal:       16000000 kB\n")
    for name in ("a", "b"):
        (tmp_path / "driver/nvidia/gpus" / name).mkdir(parents=True)
        (tmp_path / "driver/nvidia/gpus" / name / "information").write_text("Model: \t Big GPU\n")
    text = machine_text(tmp_path)
    assert text.startswith("Fast CPU @ 3 GHz, ") and text.endswith("16 GB, 2 x Big GPU")
    assert machine_text(tmp_path / "none").startswith("unknown CPU, ")
